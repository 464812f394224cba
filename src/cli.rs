//! The command line: the only module that prints, reads the environment and chooses exit codes; one file a command.
