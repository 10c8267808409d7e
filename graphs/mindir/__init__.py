"""MindIR in and out: MindSpore's protobuf files read into the IR and written from it."""
