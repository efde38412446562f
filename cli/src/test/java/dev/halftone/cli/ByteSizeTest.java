package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.halftone.core.HalftoneException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ByteSizeTest {
    @ParameterizedTest
    @CsvSource({
        "2GB, 2000000000",
        "2gb, 2000000000",
        "1.5 MB, 1500000",
        "2GiB, 2147483648",
        "64kib, 65536",
        "7, 7",
        "7b, 7",
        "999999999999999GB, 9223372036854775807",
    })
    void readsSizesAsPeopleTypeThem(String text, long bytes) {
        assertEquals(bytes, ByteSize.of("--shard-size", text));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "GB", "0", "0.4", "-2GB", "2TB2", "1e9", "2 GB 3", "9999999999999999"})
    void refusesWhatIsNoSize(String text) {
        HalftoneException fault = assertThrows(HalftoneException.class, () -> ByteSize.of("--shard-size", text));
        assertEquals("--shard-size must be a size, found '" + text + "'", fault.getMessage());
    }
}
