/// The halftone command.
package dev.halftone.cli;
