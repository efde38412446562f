package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.Disk;
import java.util.Objects;

/// How a run writes what it computes; none of it changes a number.
///
/// @param shardBytes of tensors in one file at most; a larger tensor gets a file of its own
/// @param resume     what an interrupted run means to it
/// @param disk       where the output is written
public record OutputOptions(long shardBytes, Resume resume, Disk disk) {
    /// As other tools: 5 GB in a file.
    public static final OutputOptions DEFAULT = new OutputOptions(5_000_000_000L, Resume.AUTO, Disk.SYSTEM);

    public OutputOptions {
        if (shardBytes < 1) {
            throw new IllegalArgumentException("a file of " + shardBytes + " bytes holds nothing");
        }
        Objects.requireNonNull(resume);
        Objects.requireNonNull(disk);
    }

    public OutputOptions withShardBytes(long newShardBytes) {
        return new OutputOptions(newShardBytes, resume, disk);
    }

    public OutputOptions withResume(Resume newResume) {
        return new OutputOptions(shardBytes, newResume, disk);
    }

    public OutputOptions withDisk(Disk newDisk) {
        return new OutputOptions(shardBytes, resume, newDisk);
    }
}
