"""Workspaces of a cloud: names that programs may import, and that refuse to be used."""

from wherry._base.elsewhere import refused

Workspace = refused("modal.workspace.Workspace")
WorkspaceMembersManager = refused("modal.workspace.WorkspaceMembersManager")
WorkspaceMemberTokenManager = refused("modal.workspace.WorkspaceMemberTokenManager")
WorkspaceProxyTokenManager = refused("modal.workspace.WorkspaceProxyTokenManager")
WorkspaceServiceUserManager = refused("modal.workspace.WorkspaceServiceUserManager")
WorkspaceSettingsManager = refused("modal.workspace.WorkspaceSettingsManager")
