"""What is asked of the functions: clients, calls, inputs, their queues and the dispatcher."""
