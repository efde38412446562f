package dev.halftone.gptq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.OutputError;
import dev.halftone.core.quantize.Quantized;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class GptqGoldenTest {
    private final ReferenceBackend backend = new ReferenceBackend();

    static Stream<GoldenCase> cases() throws IOException {
        return GoldenCase.all().stream().filter(one -> !one.ragged());
    }

    static Stream<GoldenCase> raggedCases() throws IOException {
        return GoldenCase.all().stream().filter(GoldenCase::ragged);
    }

    private Quantized solve(GoldenCase golden, InputStatistics statistics) {
        return new GptqQuantizer(golden.options())
                .quantize(golden.name(), golden.weight(), golden.scheme(), statistics, backend);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void findsTheCodesOfTheColumnByColumnSolver(GoldenCase golden) {
        try (InputStatistics statistics = golden.statistics(backend)) {
            QuantizedWeight weight = solve(golden, statistics).weight();

            assertArrayEquals(golden.tensor("scales").toFloats(), weight.scales());
            assertArrayEquals(golden.tensor("zeros").toInts(), weight.zeros());
            assertArrayEquals(golden.tensor("codes").toBytes(), weight.codes());
            assertNull(weight.groupOfColumn());
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void handlesTheColumnsInTheSameOrder(GoldenCase golden) {
        try (InputStatistics statistics = golden.statistics(backend);
                InverseFactor factor = InverseFactor.of(
                        golden.name(),
                        statistics.moments(),
                        golden.scheme().groupLength(golden.weight().inputs()),
                        golden.options(),
                        backend)) {
            assertArrayEquals(golden.tensor("order").toInts(), factor.order());
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void reportsTheObjectiveOfBothMethods(GoldenCase golden) {
        try (InputStatistics statistics = golden.statistics(backend)) {
            Quantized quantized = solve(golden, statistics);
            double objective = golden.facts().get("objective").asDouble();
            double rounding = golden.facts().get("rtn_objective").asDouble();

            assertEquals(objective, quantized.error().sum(), 1e-4 * objective);
            assertEquals(
                    objective / rounding,
                    quantized.error().relative() / quantized.error().rounding(),
                    1e-4);
            assertEquals(golden.weight().outputs(), quantized.error().rows());
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void isNeverWorseThanRoundingOnItsOwnObjective(GoldenCase golden) {
        try (InputStatistics statistics = golden.statistics(backend)) {
            Quantized quantized = solve(golden, statistics);

            assertTrue(
                    quantized.error().relative() <= quantized.error().rounding(),
                    () -> quantized.error().toString());
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void countsTheErrorThatTheCodesReallyMake(GoldenCase golden) {
        try (InputStatistics statistics = golden.statistics(backend)) {
            Quantized quantized = solve(golden, statistics);
            float[] changes = golden.weight().restore();
            float[] restored = quantized.weight().restore();
            for (int i = 0; i < changes.length; i++) {
                changes[i] -= restored[i];
            }
            double direct = 0;
            for (double row : OutputError.ofRows(changes, golden.weight().outputs(), statistics.moments(), backend)) {
                direct += row;
            }

            assertEquals(direct, quantized.error().sum(), 1e-4 * direct);
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void roundsLikeThePlainOracle(GoldenCase golden) {
        QuantizedWeight weight = RoundToNearest.round(golden.weight(), golden.scheme(), backend);

        assertArrayEquals(golden.tensor("rtn.scales").toFloats(), weight.scales());
        assertArrayEquals(golden.tensor("rtn.zeros").toInts(), weight.zeros());
        assertArrayEquals(golden.tensor("rtn.codes").toBytes(), weight.codes());
    }

    @ParameterizedTest
    @MethodSource("raggedCases")
    void refusesAGroupSizeThatDoesNotDivide(GoldenCase golden) {
        try (InputStatistics statistics = golden.statistics(backend)) {
            assertThrows(IllegalArgumentException.class, () -> solve(golden, statistics));
        }
    }
}
