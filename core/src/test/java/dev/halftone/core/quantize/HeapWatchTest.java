package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.lang.ref.WeakReference;
import org.junit.jupiter.api.Test;

class HeapWatchTest {
    private static final int MEBIBYTES = 1 << 20;

    /// Large enough to count as old.
    private static WeakReference<byte[]> dropped(int bytes) {
        return new WeakReference<>(new byte[bytes]);
    }

    @Test
    void hasWhatIsNoLongerHeldCollectedWhenEnoughHasComeTogether() {
        HeapWatch watch = new HeapWatch();
        byte[] held = new byte[MEBIBYTES];
        WeakReference<byte[]> alive = new WeakReference<>(held);
        Runtime runtime = Runtime.getRuntime();
        long used = runtime.totalMemory() - runtime.freeMemory();
        WeakReference<byte[]> gone = dropped((int) (used / 2) + 64 * MEBIBYTES);
        watch.look();
        assertNull(gone.get());
        assertEquals(held, alive.get());
    }
}
