package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.Disk;
import java.util.Objects;

/// How a run writes what it computes; none of it changes a number.
///
/// @param resume what an interrupted run means to it
/// @param disk   where the output is written
public record OutputOptions(Resume resume, Disk disk) {
    public static final OutputOptions DEFAULT = new OutputOptions(Resume.AUTO, Disk.SYSTEM);

    public OutputOptions {
        Objects.requireNonNull(resume);
        Objects.requireNonNull(disk);
    }

    public OutputOptions withResume(Resume newResume) {
        return new OutputOptions(newResume, disk);
    }

    public OutputOptions withDisk(Disk newDisk) {
        return new OutputOptions(resume, newDisk);
    }
}
