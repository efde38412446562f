/// The halftone command. [dev.halftone.cli.Main] sets the process up, [dev.halftone.cli.Halftone] runs one command line
/// and turns every fault into a message and an exit code, [dev.halftone.cli.Commands] lists the commands, and each
/// command is a class of its own. Results go to standard output, everything else to standard error.
package dev.halftone.cli;
