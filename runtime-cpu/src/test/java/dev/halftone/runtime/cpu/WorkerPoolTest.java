package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class WorkerPoolTest {
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7})
    void visitsEveryIndexOnceInEveryManner(int threads) {
        try (WorkerPool pool = new WorkerPool(threads)) {
            for (int count = 0; count < 40; count++) {
                AtomicIntegerArray visits = new AtomicIntegerArray(40);
                WorkerPool.Task task = (worker, from, to) -> {
                    for (int i = from; i < to; i++) {
                        visits.incrementAndGet(i);
                    }
                };
                pool.split(count, task);
                pool.splitFreely(count, 3, task);
                pool.splitShrinking(count, 4, task);
                for (int i = 0; i < 40; i++) {
                    assertEquals(i < count ? 3 : 0, visits.get(i));
                }
            }
        }
    }

    @Test
    void shrinksPiecesInWholeUnits() {
        try (WorkerPool pool = new WorkerPool(2)) {
            AtomicIntegerArray ends = new AtomicIntegerArray(1001);
            pool.splitShrinking(1000, 4, (worker, from, to) -> ends.set(to, to - from));
            int before = Integer.MAX_VALUE;
            int pieces = 0;
            for (int end = 1; end <= 1000; end++) {
                int size = ends.get(end);
                if (size > 0) {
                    assertEquals(0, size % 4);
                    assertTrue(size <= before, size + " after " + before);
                    before = size;
                    pieces++;
                }
            }
            assertEquals(4, before);
            assertTrue(pieces > 10 && pieces < 40, pieces + " pieces");
        }
    }

    @Test
    void givesEveryWorkerItsOwnNumber() {
        try (WorkerPool pool = new WorkerPool(3)) {
            Set<Integer> numbers = ConcurrentHashMap.newKeySet();
            Set<Thread> threads = ConcurrentHashMap.newKeySet();
            for (int i = 0; i < 50; i++) {
                pool.split(3, (worker, from, to) -> {
                    assertEquals(worker, from);
                    assertEquals(worker + 1, to);
                    numbers.add(worker);
                    threads.add(Thread.currentThread());
                });
            }
            assertEquals(Set.of(0, 1, 2), numbers);
            assertEquals(3, threads.size());
            assertTrue(threads.contains(Thread.currentThread()), "the caller works too");
        }
    }

    @Test
    void runsManyShortRegionsInOrder() {
        try (WorkerPool pool = new WorkerPool(2)) {
            int[] cells = new int[64];
            for (int region = 0; region < 20_000; region++) {
                pool.split(64, (worker, from, to) -> {
                    for (int i = from; i < to; i++) {
                        cells[63 - i]++;
                    }
                });
            }
            for (int cell : cells) {
                assertEquals(20_000, cell);
            }
        }
    }

    @Test
    void wakesWorkersThatHaveParked() throws InterruptedException {
        try (WorkerPool pool = new WorkerPool(2)) {
            AtomicInteger sum = new AtomicInteger();
            for (int i = 0; i < 5; i++) {
                Thread.sleep(20);
                pool.split(10, (worker, from, to) -> sum.addAndGet(to - from));
            }
            assertEquals(50, sum.get());
        }
    }

    @Test
    void waitsForAWorkerSlowerThanTheCaller() {
        try (WorkerPool pool = new WorkerPool(2)) {
            AtomicInteger done = new AtomicInteger();
            pool.split(2, (worker, from, to) -> {
                if (worker == 1) {
                    try {
                        Thread.sleep(30);
                    } catch (InterruptedException unexpected) {
                        throw new IllegalStateException(unexpected);
                    }
                }
                done.incrementAndGet();
            });
            assertEquals(2, done.get());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void rethrowsWhatAWorkerThrows(int thrower) {
        try (WorkerPool pool = new WorkerPool(2)) {
            IllegalArgumentException problem = new IllegalArgumentException("no");
            for (int i = 0; i < 3; i++) {
                assertSame(
                        problem,
                        assertThrows(
                                IllegalArgumentException.class,
                                () -> pool.split(2, (worker, from, to) -> {
                                    if (worker == thrower) {
                                        throw problem;
                                    }
                                })));
            }
            AtomicInteger count = new AtomicInteger();
            pool.split(2, (worker, from, to) -> count.addAndGet(to - from));
            assertEquals(2, count.get());
        }
    }

    @Test
    void passesErrorsOnToo() {
        try (WorkerPool pool = new WorkerPool(2)) {
            assertThrows(
                    StackOverflowError.class,
                    () -> pool.splitFreely(9, 1, (worker, from, to) -> {
                        if (from == 4) {
                            throw new StackOverflowError();
                        }
                    }));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void refusesCallsFromInsideATask(int threads) {
        try (WorkerPool pool = new WorkerPool(threads)) {
            IllegalStateException problem = assertThrows(
                    IllegalStateException.class,
                    () -> pool.split(4, (worker, from, to) -> pool.split(1, (w, f, t) -> {})));
            assertTrue(problem.getMessage().contains("already at work"), problem.getMessage());
        }
    }

    @Test
    void refusesASecondCallerMeanwhile() throws InterruptedException {
        try (WorkerPool pool = new WorkerPool(2)) {
            CountDownLatch inside = new CountDownLatch(1);
            CountDownLatch release = new CountDownLatch(1);
            Thread first = new Thread(() -> pool.split(1, (worker, from, to) -> {
                inside.countDown();
                try {
                    release.await();
                } catch (InterruptedException unexpected) {
                    throw new IllegalStateException(unexpected);
                }
            }));
            first.start();
            inside.await();
            assertThrows(IllegalStateException.class, () -> pool.split(1, (worker, from, to) -> {}));
            release.countDown();
            first.join();
        }
    }

    @Test
    void endsItsThreadsWhenClosed() throws InterruptedException {
        WorkerPool pool = new WorkerPool(2);
        Thread[] worker = new Thread[1];
        pool.split(2, (number, from, to) -> {
            if (number == 1) {
                worker[0] = Thread.currentThread();
            }
        });
        assertTrue(worker[0].isDaemon());
        pool.close();
        worker[0].join(10_000);
        assertFalse(worker[0].isAlive());
        assertThrows(IllegalStateException.class, () -> pool.split(1, (number, from, to) -> {}));
    }

    @Test
    void refusesToHaveNoThreads() {
        assertThrows(IllegalArgumentException.class, () -> new WorkerPool(0));
    }
}
