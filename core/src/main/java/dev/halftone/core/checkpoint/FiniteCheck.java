package dev.halftone.core.checkpoint;

import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Objects;

/// Looks for NaN and infinity, which poison everything computed from them.
public final class FiniteCheck {
    private FiniteCheck() {}

    /// Checks all elements of a floating-point tensor; other types cannot be at fault.
    ///
    /// @param file where the tensor comes from, for the message
    /// @throws MalformedCheckpointException with the first index at fault and their number
    public static void require(Path file, Tensor tensor) {
        require(file, tensor, 0, tensor.elements());
    }

    /// Checks `count` elements from `first` on.
    ///
    /// @throws MalformedCheckpointException with the first index at fault and their number
    public static void require(Path file, Tensor tensor, long first, long count) {
        Objects.checkFromIndexSize(first, count, tensor.elements());
        long firstFault = -1;
        long faults = 0;
        for (long i = first; i < first + count; i++) {
            if (!isFinite(tensor, i)) {
                firstFault = faults == 0 ? i : firstFault;
                faults++;
            }
        }
        if (faults > 0) {
            throw new MalformedCheckpointException(
                    file,
                    tensor.name(),
                    "holds NaN or infinity",
                    faults + " of " + count + " elements, the first at index " + firstFault + " of " + tensor.shape(),
                    "download the file again; if the fault stays, the model itself was saved broken");
        }
    }

    private static boolean isFinite(Tensor tensor, long index) {
        MemorySegment data = tensor.data();
        // An exponent of all ones is NaN or infinity.
        return switch (tensor.type()) {
            case F64 -> Double.isFinite(data.get(LittleEndian.DOUBLE, index * 8));
            case F32 -> Float.isFinite(data.get(LittleEndian.FLOAT, index * 4));
            case F16 -> (data.get(LittleEndian.SHORT, index * 2) & 0x7C00) != 0x7C00;
            case BF16 -> (data.get(LittleEndian.SHORT, index * 2) & 0x7F80) != 0x7F80;
            case I64, I32, I16, I8, U8, BOOL -> true;
        };
    }
}
