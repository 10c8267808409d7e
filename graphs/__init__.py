"""The intermediate representation: graphs, operators, MindIR in and out, passes and the sampling program."""
