package dev.halftone.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import dev.halftone.core.HalftoneException;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SamplerTest {
    /// Logits of the given probabilities.
    private static float[] logits(double... probabilities) {
        float[] logits = new float[probabilities.length];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) Math.log(probabilities[i]);
        }
        return logits;
    }

    private static int[] counts(SamplingOptions options, float[] logits, int draws) {
        Sampler sampler = new Sampler(options, logits.length);
        int[] counts = new int[logits.length];
        for (int i = 0; i < draws; i++) {
            counts[sampler.sample(logits)]++;
        }
        return counts;
    }

    private static Set<Integer> drawn(SamplingOptions options, float[] logits) {
        int[] counts = counts(options, logits, 20_000);
        Set<Integer> tokens = new TreeSet<>();
        IntStream.range(0, counts.length).filter(i -> counts[i] > 0).forEach(tokens::add);
        return tokens;
    }

    @Test
    void takesTheLowestOfEqualsWhenGreedy() {
        Sampler sampler = new Sampler(SamplingOptions.greedy(), 4);
        assertEquals(1, sampler.sample(new float[] {0, 2, 2, 1}));
        assertEquals(0, sampler.sample(new float[] {5, 5, 5, 5}));
        assertEquals(3, sampler.sample(new float[] {-3, -2, Float.NEGATIVE_INFINITY, -1}));
    }

    @Test
    void drawsInProportionToTheProbabilities() {
        double[] probabilities = {0.5, 0.05, 0.3, 0.15};
        for (SamplingOptions options : new SamplingOptions[] {
            SamplingOptions.of(1, 11),
            SamplingOptions.of(1, 12).withTopK(4),
            SamplingOptions.of(1, 13).withTopP(0.999)
        }) {
            int[] counts = counts(options, logits(probabilities), 100_000);
            for (int i = 0; i < 4; i++) {
                // Five standard deviations.
                double deviation = Math.sqrt(100_000 * probabilities[i] * (1 - probabilities[i]));
                assertEquals(100_000 * probabilities[i], counts[i], 5 * deviation, options + ", token " + i);
            }
        }
    }

    @Test
    void flattensWithTheTemperature() {
        int[] counts = counts(SamplingOptions.of(2, 1), logits(0.8, 0.2), 100_000);
        double expected = Math.sqrt(0.8) / (Math.sqrt(0.8) + Math.sqrt(0.2));
        assertEquals(expected, counts[0] / 1e5, 0.01);
        assertArrayEquals(new int[] {1000, 0}, counts(SamplingOptions.of(1e-9, 1), logits(0.51, 0.49), 1000));
    }

    @Test
    void keepsTheLikeliestTokens() {
        float[] logits = logits(0.1, 0.4, 0.05, 0.25, 0.2);
        SamplingOptions all = SamplingOptions.of(1, 7);
        assertEquals(Set.of(0, 1, 2, 3, 4), drawn(all, logits));
        assertEquals(Set.of(1), drawn(all.withTopK(1), logits));
        assertEquals(Set.of(1, 3, 4), drawn(all.withTopK(3), logits));
        assertEquals(Set.of(0, 1, 2, 3, 4), drawn(all.withTopK(99), logits));
        assertEquals(Set.of(1, 3), drawn(all.withTopP(0.6), logits));
        assertEquals(Set.of(1, 3, 4), drawn(all.withTopP(0.7), logits));
        assertEquals(Set.of(1), drawn(all.withTopP(1e-6), logits));
        assertEquals(Set.of(1, 3), drawn(all.withMinP(0.6), logits));
        assertEquals(Set.of(1, 3, 4), drawn(all.withMinP(0.49), logits));
    }

    @Test
    void takesTheShareOfTopPFromWhatTopKHasLeft() {
        float[] logits = logits(0.1, 0.4, 0.05, 0.25, 0.2);
        // Of 0.4 and 0.25 alone, 0.4 is a share of 0.615.
        SamplingOptions two = SamplingOptions.of(1, 7).withTopK(2);
        assertEquals(Set.of(1), drawn(two.withTopP(0.6), logits));
        assertEquals(Set.of(1, 3), drawn(two.withTopP(0.62), logits));
        assertEquals(Set.of(1), drawn(two.withTopP(0.62).withMinP(0.7), logits));
    }

    @Test
    void keepsTheLowestOfEqualsWhenCut() {
        assertEquals(Set.of(0, 1), drawn(SamplingOptions.of(1, 2).withTopK(2), new float[6]));
    }

    @Test
    void neverDrawsWhatIsExcluded() {
        float[] logits = {Float.NEGATIVE_INFINITY, 0, Float.NEGATIVE_INFINITY, 0, Float.NEGATIVE_INFINITY};
        assertEquals(Set.of(1, 3), drawn(SamplingOptions.of(1, 5), logits));
        assertEquals(Set.of(1, 3), drawn(SamplingOptions.of(1, 5).withTopK(4), logits));
    }

    @Test
    void repeatsItselfForEqualSeeds() {
        Random random = new Random(1);
        float[][] steps = new float[50][500];
        for (float[] step : steps) {
            for (int i = 0; i < step.length; i++) {
                step[i] = (float) random.nextGaussian();
            }
        }
        SamplingOptions options = SamplingOptions.of(0.8, 42).withTopK(50).withTopP(0.95);
        assertArrayEquals(run(options, steps), run(options, steps));
        SamplingOptions other = SamplingOptions.of(0.8, 43).withTopK(50).withTopP(0.95);
        assertNotEquals(Arrays.toString(run(options, steps)), Arrays.toString(run(other, steps)));
    }

    private static int[] run(SamplingOptions options, float[][] steps) {
        Sampler sampler = new Sampler(options, steps[0].length);
        return Arrays.stream(steps).mapToInt(sampler::sample).toArray();
    }

    /// The heap against a plain sort.
    @Test
    void ranksLikeASort() {
        Random random = new Random(9);
        for (int round = 0; round < 200; round++) {
            int size = 1 + random.nextInt(40);
            float[] logits = new float[size];
            for (int i = 0; i < size; i++) {
                logits[i] = random.nextInt(8);
            }
            int k = 1 + random.nextInt(size);
            Set<Integer> expected = new TreeSet<>(IntStream.range(0, size)
                    .boxed()
                    .sorted((a, b) -> logits[a] != logits[b] ? Float.compare(logits[b], logits[a]) : a - b)
                    .limit(k)
                    .toList());
            Sampler sampler = new Sampler(SamplingOptions.of(1000, round).withTopK(k), size);
            Set<Integer> found = new TreeSet<>();
            for (int i = 0; i < 100 * k; i++) {
                found.add(sampler.sample(logits));
            }
            assertEquals(expected, found);
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY})
    void refusesLogitsThatAreNotNumbers(float bad) {
        for (SamplingOptions options : new SamplingOptions[] {SamplingOptions.greedy(), SamplingOptions.of(1, 0)}) {
            HalftoneException fault = assertThrows(
                    HalftoneException.class, () -> new Sampler(options, 3).sample(new float[] {1, bad, 2}));
            assertEquals(HalftoneException.Kind.NUMERICS, fault.kind());
            assertTrue(fault.detail().contains("token 1"), fault.explanation());
        }
    }

    @Test
    void refusesToChooseFromNothing() {
        float[] none = {Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY};
        HalftoneException fault =
                assertThrows(HalftoneException.class, () -> new Sampler(SamplingOptions.greedy(), 2).sample(none));
        assertEquals(HalftoneException.Kind.NUMERICS, fault.kind());
        assertThrows(
                IllegalArgumentException.class,
                () -> new Sampler(SamplingOptions.greedy(), 3).sample(new float[] {1, 2}));
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY})
    void refusesWhatIsNoLogit(float logit) {
        for (int place : new int[] {0, 1, 2}) {
            float[] logits = {1, 3, 2};
            logits[place] = logit;
            HalftoneException fault = assertThrows(
                    HalftoneException.class, () -> new Sampler(SamplingOptions.greedy(), 3).sample(logits));
            assertEquals(HalftoneException.Kind.NUMERICS, fault.kind());
            assertTrue(fault.detail().contains("token " + place + " is " + logit), fault.detail());
        }
    }

    @Test
    void allocatesNothing() {
        float[] logits = new float[1000];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) Math.sin(i);
        }
        Sampler sampler = new Sampler(
                SamplingOptions.of(0.9, 4).withTopK(100).withTopP(0.9).withMinP(0.01), 1000);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        int sum = sampler.sample(logits);
        threads.getCurrentThreadAllocatedBytes();
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 2000; i++) {
            sum += sampler.sample(logits);
        }
        long bytes = threads.getCurrentThreadAllocatedBytes() - before;
        // The measurement itself may cost a little; a single word per token would show.
        assertTrue(bytes < 2000, bytes + " bytes for 2000 tokens, sum " + sum);
    }
}
