package dev.halftone.runtime.cpu;

/// The verbs that treat each row by itself; the pool is asked only when there is enough to do.
final class RowVerbs implements WorkerPool.Task {
    private enum Verb {
        NORMALIZE,
        ROTATE,
        GATE,
        ADD,
        COPY
    }

    /// Below this many numbers, waking a worker costs more than it brings.
    private static final int WORTH_SPLITTING = 1 << 13;

    private final Kernels kernels;
    private final MachineVerbs machineVerbs; // null for none
    private final WorkerPool pool;
    private final Scratch scratch;

    private Verb verb;
    private CpuMatrix first;
    private CpuMatrix second;
    private CpuMatrix third;
    private float epsilon;
    private int headSize;

    /// @param machineVerbs null for none
    RowVerbs(Kernels kernels, MachineVerbs machineVerbs, WorkerPool pool, Scratch scratch) {
        this.kernels = kernels;
        this.machineVerbs = machineVerbs;
        this.pool = pool;
        this.scratch = scratch;
    }

    void normalize(CpuMatrix x, CpuMatrix weight, float newEpsilon, CpuMatrix destination) {
        epsilon = newEpsilon;
        scratch.require(kernels.lanes() + MachineVerbs.ARGUMENTS);
        start(Verb.NORMALIZE, x, weight, destination);
    }

    void rotate(CpuMatrix x, int newHeadSize, CpuMatrix cosines, CpuMatrix sines) {
        headSize = newHeadSize;
        scratch.require(MachineVerbs.ARGUMENTS);
        start(Verb.ROTATE, x, cosines, sines);
    }

    void gate(CpuMatrix gate, CpuMatrix up, CpuMatrix destination) {
        scratch.require(gate.columns() + kernels.lanes() + MachineVerbs.ARGUMENTS);
        start(Verb.GATE, gate, up, destination);
    }

    void add(CpuMatrix x, CpuMatrix sum) {
        scratch.require(MachineVerbs.ARGUMENTS);
        start(Verb.ADD, x, sum, sum);
    }

    void copy(CpuMatrix source, CpuMatrix destination) {
        start(Verb.COPY, source, destination, destination);
    }

    private void start(Verb newVerb, CpuMatrix newFirst, CpuMatrix newSecond, CpuMatrix newThird) {
        verb = newVerb;
        first = newFirst;
        second = newSecond;
        third = newThird;
        if ((long) first.rows() * first.columns() < WORTH_SPLITTING) {
            run(0, 0, first.rows());
        } else {
            pool.split(first.rows(), this);
        }
    }

    @Override
    public void run(int worker, int from, int to) {
        int columns = first.columns();
        for (int row = from; row < to; row++) {
            switch (verb) {
                case NORMALIZE -> {
                    int width = second.columns();
                    for (int i = 0; i < columns; i += width) {
                        normalize(first.at(row, i), width, third.at(row, i), scratch.of(worker));
                    }
                }
                case ROTATE -> {
                    for (int i = 0; i < columns; i += headSize) {
                        rotate(first.at(row, i), row, scratch.of(worker));
                    }
                }
                case GATE -> gate(row, columns, scratch.of(worker));
                case ADD -> add(first.row(row), second.row(row), columns, scratch.of(worker));
                case COPY -> Memory.copyFloats(first.row(row), second.row(row), columns);
            }
        }
    }

    private void normalize(long x, int count, long destination, long room) {
        if (machineVerbs != null) {
            machineVerbs.normalize(x, second.address(), epsilon, count, destination, room);
        } else {
            kernels.normalize(x, second.address(), epsilon, count, destination, room);
        }
    }

    private void rotate(long x, int row, long room) {
        if (machineVerbs != null) {
            machineVerbs.rotate(x, headSize / 2, second.row(row), third.row(row), room);
        } else {
            kernels.rotate(x, headSize / 2, second.row(row), third.row(row));
        }
    }

    private void add(long x, long sum, int count, long room) {
        if (machineVerbs != null) {
            machineVerbs.add(x, sum, count, room);
        } else {
            kernels.add(x, sum, count);
        }
    }

    private void gate(int row, int columns, long room) {
        if (machineVerbs != null) {
            machineVerbs.gate(first.row(row), second.row(row), third.row(row), columns, room);
        } else {
            kernels.gate(first.row(row), second.row(row), third.row(row), columns, room);
        }
    }
}
