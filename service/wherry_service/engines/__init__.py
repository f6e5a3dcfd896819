"""The engines that run containers, behind one narrow interface (engine.py)."""
