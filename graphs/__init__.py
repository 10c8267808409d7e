"""The intermediate representation of coopdraw: graphs, operators, MindIR in and out, passes and the sampling program."""
