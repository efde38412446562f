package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.quantize.BitAllocation.Way;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class BitAllocationTest {
    private static long bits(List<List<Way>> parts, int[] chosen) {
        long bits = 0;
        for (int i = 0; i < chosen.length; i++) {
            bits += parts.get(i).get(chosen[i]).bits();
        }
        return bits;
    }

    private static double harm(List<List<Way>> parts, int[] chosen) {
        double harm = 0;
        for (int i = 0; i < chosen.length; i++) {
            harm += parts.get(i).get(chosen[i]).harm();
        }
        return harm;
    }

    @Test
    void spendsWhereABitBuysMost() {
        List<List<Way>> parts = List.of(
                List.of(new Way(4, 1.0), new Way(8, 0.1)),
                List.of(new Way(4, 5.0), new Way(8, 0.2)),
                List.of(new Way(40, 6.0), new Way(80, 0.3)));
        assertArrayEquals(new int[] {0, 0, 0}, BitAllocation.choose(parts, 48));
        assertArrayEquals(new int[] {0, 1, 0}, BitAllocation.choose(parts, 52));
        assertArrayEquals(new int[] {1, 1, 0}, BitAllocation.choose(parts, 56));
        assertArrayEquals(new int[] {1, 1, 1}, BitAllocation.choose(parts, 1000));
    }

    @Test
    void takesNoWayThatCostsMoreAndDoesMoreHarm() {
        List<List<Way>> parts = List.of(List.of(new Way(8, 0.5), new Way(4, 1.0), new Way(6, 1.5), new Way(9, 0.5)));
        assertArrayEquals(new int[] {1}, BitAllocation.choose(parts, 7));
        assertArrayEquals(new int[] {0}, BitAllocation.choose(parts, 20));
    }

    /// Against all choices that fit.
    @Test
    void isWithinOneStepOfTheBest() {
        Random random = new Random(3);
        for (int round = 0; round < 50; round++) {
            List<List<Way>> parts = new ArrayList<>();
            for (int part = 0; part < 5; part++) {
                long size = 1 + random.nextInt(9);
                double weight = random.nextDouble() + 0.01;
                parts.add(List.of(
                        new Way(3 * size, weight * (1 + random.nextDouble())),
                        new Way(4 * size, weight * random.nextDouble()),
                        new Way(8 * size, 0.05 * weight * random.nextDouble())));
            }
            long budget = 120 + random.nextInt(60);
            int[] chosen = BitAllocation.choose(parts, budget);
            assertTrue(bits(parts, chosen) <= budget);
            double step = 0;
            for (List<Way> ways : parts) {
                for (Way way : ways) {
                    step = Math.max(
                            step, Math.max(ways.get(0).harm(), ways.get(1).harm()) - way.harm());
                }
            }
            for (int code = 0; code < 243; code++) {
                int[] other = {code % 3, code / 3 % 3, code / 9 % 3, code / 27 % 3, code / 81};
                if (bits(parts, other) <= budget) {
                    assertTrue(harm(parts, chosen) <= harm(parts, other) + step, "round " + round);
                }
            }
        }
    }

    @Test
    void saysWhatTheSmallestChoiceNeeds() {
        HalftoneException failure =
                assertThrows(HalftoneException.class, () -> BitAllocation.choose(List.of(List.of(new Way(30, 1))), 20));
        assertEquals(HalftoneException.Kind.USAGE, failure.kind());
        assertTrue(failure.explanation().contains("30"), failure.explanation());
    }
}
