/// Faults that a user can mend.
package dev.halftone.core;
