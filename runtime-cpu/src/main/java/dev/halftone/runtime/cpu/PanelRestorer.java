package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.OneDnn.Numbers;

/// Brings blocks of [OneDnn#BLOCK] outputs of a weight into the order of a product's right-hand side. In bfloat16, two
/// inputs that lie as many places apart as a vector has lanes share a word: see [PairKernel].
final class PanelRestorer {
    /// Inputs of a strip that are restored at a time.
    private static final int CHUNK = 256;

    private final Kernels kernels;
    private final BFloat16Restorer codes; // null for none
    private final int lanes;

    /// @param codes restores codes to bfloat16 in one pass; null for none
    PanelRestorer(Kernels kernels, BFloat16Restorer codes) {
        this.kernels = kernels;
        this.codes = codes;
        lanes = kernels.lanes();
    }

    /// Bytes of a block with `depth` inputs.
    static long blockBytes(Numbers numbers, int depth) {
        return (long) depth * OneDnn.BLOCK * numbers.bytes;
    }

    /// Floats to work in.
    long scratchFloats() {
        return (long) CHUNK * lanes;
    }

    /// @param depth inputs of the block, zeros beyond those of the weight
    /// @param floats see [#scratchFloats]
    void restore(PackedWeight weight, Numbers numbers, int depth, int block, long floats, long destination) {
        int stripsOfBlock = OneDnn.BLOCK / lanes;
        int firstStrip = block * stripsOfBlock;
        int endStrip = Math.min(weight.strips, firstStrip + stripsOfBlock);
        int padded = weight.paddedInputs();
        if (endStrip - firstStrip < stripsOfBlock || padded < depth) {
            Memory.zeroFloats(destination, blockBytes(numbers, depth) / Float.BYTES);
        }
        for (int strip = firstStrip; strip < endStrip; strip++) {
            long column = destination + (long) (strip - firstStrip) * weight.vectorBytes();
            if (numbers == Numbers.UNSIGNED8) {
                kernels.bytes(weight, strip, 0, weight.wordsPerStrip(), column, (long) OneDnn.BLOCK * Integer.BYTES);
                continue;
            }
            if (numbers == Numbers.BFLOAT16 && codes != null && BFloat16Restorer.takes(weight)) {
                codes.restore(weight, strip, column, floats);
                continue;
            }
            for (int k = 0; k < padded; k += CHUNK) {
                int count = Math.min(CHUNK, padded - k);
                kernels.restore(weight, strip, k / weight.form.fields, count / weight.form.fields, floats);
                place(numbers, floats, count, column + (long) k / numbers.together * OneDnn.BLOCK * Float.BYTES);
            }
        }
    }

    private void place(Numbers numbers, long floats, int count, long destination) {
        long step = (long) OneDnn.BLOCK * Float.BYTES;
        if (numbers == Numbers.FLOAT32) {
            kernels.spread(floats, count, destination, step);
            return;
        }
        long vector = (long) lanes * Float.BYTES;
        int both = 2 * lanes;
        int whole = Math.ceilDiv(count, both) * both;
        Memory.zeroFloats(floats + count * vector, (long) (whole - count) * lanes);
        for (int k = 0; k < whole; k += both) {
            long low = floats + k * vector;
            long high = low + lanes * vector;
            kernels.roundPairs(low, high, (int) vector, lanes, destination + k / 2 * step, step);
        }
    }
}
