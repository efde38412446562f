package dev.halftone.runtime.cpu;

/// Rows of inputs in a weight's own order of columns, one at a time for each worker.
final class RowArranger implements AutoCloseable {
    private final float[][] row; // of each worker
    private final float[][] arranged;
    private final Memory[] places; // arranged, off the heap

    RowArranger(int workers) {
        row = new float[workers][0];
        arranged = new float[workers][0];
        places = new Memory[workers];
        for (int worker = 0; worker < workers; worker++) {
            places[worker] = Memory.ofBytes(0);
        }
    }

    /// Makes room, outside of a region.
    void require(PackedWeight weight) {
        for (int worker = 0; worker < places.length && weight.columns != null; worker++) {
            places[worker] = Memory.grown(places[worker], (long) weight.paddedInputs() * Float.BYTES);
            row[worker] = Scratch.grown(row[worker], weight.inputs);
            arranged[worker] = Scratch.grown(arranged[worker], weight.paddedInputs());
        }
    }

    /// Where the row lies: in `x`, or in the worker's place until its next call.
    long arrange(int worker, PackedWeight weight, CpuMatrix x, int index) {
        if (weight.columns == null) {
            return x.row(index);
        }
        Memory.copyFloats(x.row(index), row[worker], 0, weight.inputs);
        Preparation.arrange(weight, row[worker], arranged[worker], 0, 1);
        long place = places[worker].address();
        Memory.copyFloats(arranged[worker], 0, place, weight.paddedInputs());
        return place;
    }

    @Override
    public void close() {
        for (Memory place : places) {
            place.close();
        }
    }
}
