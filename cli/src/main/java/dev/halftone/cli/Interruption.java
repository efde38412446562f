package dev.halftone.cli;

import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/// Lets a signal stop a run between two steps, so that the run can remove what it has half written. The JVM's shutdown
/// waits for that.
final class Interruption implements Runnable {
    /// The longest step, one large matrix, takes less; a stuck run must not make the process unstoppable.
    private static final int PATIENCE_SECONDS = 60;

    private final CountDownLatch ended = new CountDownLatch(1);
    private final List<Runnable> listeners = new CopyOnWriteArrayList<>();
    private volatile boolean requested;

    boolean requested() {
        return requested;
    }

    /// To be called between steps.
    ///
    /// @throws CancellationException if the user wants the run to stop
    void check() {
        if (requested) {
            throw new CancellationException("interrupted");
        }
    }

    /// Has `listener` called, on another thread, when the user wants the run to stop; at once if that was before.
    void whenRequested(Runnable listener) {
        listeners.add(listener);
        if (requested) {
            listener.run();
        }
    }

    void request() {
        requested = true;
        listeners.forEach(Runnable::run);
    }

    /// Tells that nothing is left to clean up.
    void workEnded() {
        ended.countDown();
    }

    /// The shutdown hook. An ordinary exit also comes here, after the work has ended.
    @Override
    public void run() {
        if (ended.getCount() == 0) {
            return;
        }
        request();
        try {
            if (!ended.await(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                System.err.println("stopped without waiting any longer for the run to clean up");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
