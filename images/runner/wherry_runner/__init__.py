"""What runs in every function container: takes inputs from the node agent, calls the function, answers."""
