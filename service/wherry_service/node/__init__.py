"""The node agent: runner sockets, source trees and blobs of the containers on one host."""
