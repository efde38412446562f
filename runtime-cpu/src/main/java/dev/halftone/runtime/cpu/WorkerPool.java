package dev.halftone.runtime.cpu;

import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/// A fixed team of daemon threads that splits index ranges. The caller is worker 0. Between two regions a worker spins
/// for less than a tenth of a millisecond, because a decoding step is hundreds of short regions with a few dozen
/// microseconds of the caller's own between, and then parks. A region allocates nothing.
final class WorkerPool implements AutoCloseable {
    /// Work on `[from, to)` by worker number `worker`, which owns the scratch memory of that number meanwhile.
    @FunctionalInterface
    interface Task {
        void run(int worker, int from, int to);
    }

    private static final int SPINS = 4_000;

    private final Worker[] workers;
    private final AtomicBoolean busy = new AtomicBoolean();
    private final AtomicInteger next = new AtomicInteger();
    private final AtomicInteger pending = new AtomicInteger();

    // Written by the caller before `region` is advanced, read by workers after they saw it advance.
    private Task task;
    private int count;
    private int piece;
    private boolean shrinking;
    private Thread caller;

    private volatile int region;
    private volatile boolean callerParked;
    private volatile boolean closed;
    private volatile Throwable failure;

    WorkerPool(int threads) {
        if (threads < 1) {
            throw new IllegalArgumentException("threads must be positive, found " + threads);
        }
        workers = new Worker[threads - 1];
        for (int i = 0; i < workers.length; i++) {
            workers[i] = new Worker(i + 1);
            workers[i].start();
        }
    }

    int threads() {
        return workers.length + 1;
    }

    /// One contiguous range per worker, always the same ones: a worker finds its part of a weight in its own cache.
    void split(int count, Task task) {
        run(count, 0, false, task);
    }

    /// Pieces of `piece` indices, each taken by whoever is free: for work of uneven cost.
    void splitFreely(int count, int piece, Task task) {
        run(count, piece, false, task);
    }

    /// The same for work of even cost on workers of uneven speed: a piece is half of a worker's share of what is left,
    /// in multiples of `piece`, so that few are taken and all workers end together.
    void splitShrinking(int count, int piece, Task task) {
        run(count, piece, true, task);
    }

    private void run(int newCount, int newPiece, boolean newShrinking, Task newTask) {
        if (closed) {
            throw new IllegalStateException("the worker pool is closed");
        }
        if (!busy.compareAndSet(false, true)) {
            throw new IllegalStateException(
                    "the worker pool is already at work: it takes calls from one thread at a time, none from a task");
        }
        try {
            if (newCount <= 0) {
                return;
            }
            if (workers.length == 0 || newCount == 1) {
                newTask.run(0, 0, newCount);
                return;
            }
            share(newCount, newPiece, newShrinking, newTask);
        } finally {
            busy.set(false);
        }
    }

    private void share(int newCount, int newPiece, boolean newShrinking, Task newTask) {
        task = newTask;
        count = newCount;
        piece = newPiece;
        shrinking = newShrinking;
        caller = Thread.currentThread();
        next.set(0);
        pending.set(workers.length);
        region++;
        for (Worker worker : workers) {
            if (worker.parked) {
                LockSupport.unpark(worker);
            }
        }
        work(0);
        for (int spin = 0; pending.get() != 0; spin++) {
            if (spin < SPINS) {
                Thread.onSpinWait();
            } else {
                callerParked = true;
                if (pending.get() != 0) {
                    LockSupport.park(this);
                }
                callerParked = false;
            }
        }
        task = null;
        caller = null;
        Throwable problem = failure;
        if (problem != null) {
            failure = null;
            rethrow(problem);
        }
    }

    private int size(int left) {
        return shrinking ? Math.max(1, left / (2 * threads()) / piece) * piece : piece;
    }

    private static void rethrow(Throwable problem) {
        if (problem instanceof Error error) {
            throw error;
        }
        throw (RuntimeException) problem;
    }

    /// Runs the part of `worker`; what it throws is kept for the caller, the first one only.
    private void work(int worker) {
        try {
            if (piece == 0) {
                int from = (int) ((long) count * worker / threads());
                int to = (int) ((long) count * (worker + 1) / threads());
                if (from < to) {
                    task.run(worker, from, to);
                }
            } else {
                for (int from = next.get(); from < count; from = next.get()) {
                    int end = Math.min(count, from + size(count - from));
                    if (next.compareAndSet(from, end)) {
                        task.run(worker, from, end);
                    }
                }
            }
        } catch (RuntimeException | Error problem) {
            next.set(count);
            synchronized (this) {
                if (failure == null) {
                    failure = problem;
                } else if (failure != problem) {
                    failure.addSuppressed(problem);
                }
            }
        }
    }

    @Override
    public void close() {
        closed = true;
        for (Worker worker : workers) {
            LockSupport.unpark(worker);
        }
    }

    private final class Worker extends Thread {
        private final int number;
        private volatile boolean parked;

        Worker(int number) {
            super("halftone-cpu-" + number);
            this.number = number;
            setDaemon(true);
        }

        @Override
        public void run() {
            int seen = 0;
            while (true) {
                for (int spin = 0; region == seen; spin++) {
                    if (closed) {
                        return;
                    }
                    if (spin < SPINS) {
                        Thread.onSpinWait();
                    } else {
                        parked = true;
                        if (region == seen && !closed) {
                            LockSupport.park(WorkerPool.this);
                        }
                        parked = false;
                    }
                }
                seen++;
                work(number);
                // Read before the count falls: afterwards the caller may already be in the next region.
                Thread waiting = caller;
                if (pending.decrementAndGet() == 0 && callerParked) {
                    LockSupport.unpark(waiting);
                }
            }
        }
    }
}
