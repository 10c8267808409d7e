"""What is in a bundle, drawn for people: the step plan in the terminal, and a report as one HTML file."""
