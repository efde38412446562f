package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class InterruptionTest {
    private final Interruption interruption = new Interruption();

    @Test
    void stopsBetweenStepsOnlyAfterARequest() {
        assertDoesNotThrow(interruption::check);
        interruption.request();
        assertThrows(CancellationException.class, interruption::check);
    }

    @Test
    void tellsListenersOfBeforeAndOfAfter() {
        AtomicInteger calls = new AtomicInteger();
        interruption.whenRequested(calls::incrementAndGet);
        assertEquals(0, calls.get());
        interruption.request();
        interruption.whenRequested(calls::incrementAndGet);
        assertEquals(2, calls.get());
    }

    @Test
    void anOrdinaryExitIsNoRequest() {
        interruption.workEnded();
        interruption.run();
        assertFalse(interruption.requested());
    }

    @Test
    @Timeout(value = 30, unit = TimeUnit.SECONDS)
    void theShutdownWaitsForTheWorkToEnd() throws InterruptedException {
        Thread hook = new Thread(interruption, "hook");
        hook.start();
        while (!interruption.requested()) {
            Thread.sleep(1);
        }
        assertTrue(hook.isAlive(), "waits");
        interruption.workEnded();
        hook.join();
    }
}
