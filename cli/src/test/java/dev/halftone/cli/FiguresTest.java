package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Locale;
import org.junit.jupiter.api.Test;

class FiguresTest {
    @Test
    void writesBytesWithThreeDigits() {
        assertEquals("0 B", Figures.bytes(0));
        assertEquals("1023 B", Figures.bytes(1023));
        assertEquals("1.00 KiB", Figures.bytes(1024));
        assertEquals("1.00 MiB", Figures.bytes((1 << 20) - 1));
        assertEquals("12.3 MiB", Figures.bytes((long) (12.3 * (1 << 20))));
        assertEquals("8388608 TiB", Figures.bytes(Long.MAX_VALUE));
    }

    @Test
    void writesCountsAsModelCardsDo() {
        assertEquals("999", Figures.count(999));
        assertEquals("4.20 M", Figures.count(4_196_608));
        assertEquals("135 M", Figures.count(134_515_008));
        assertEquals("1.00 B", Figures.count(999_600_000));
    }

    @Test
    void writesDurationsByTheirSize() {
        assertEquals("0.8 s", Figures.duration(0.84));
        assertEquals("10 s", Figures.duration(9.96));
        assertEquals("1:00", Figures.duration(59.7));
        assertEquals("3:05", Figures.duration(185));
        assertEquals("1:02:03", Figures.duration(3723));
    }

    @Test
    void doesNotFollowTheLocale() {
        Locale before = Locale.getDefault();
        try {
            Locale.setDefault(Locale.GERMANY);
            assertEquals("1.50 KiB", Figures.bytes(1536));
        } finally {
            Locale.setDefault(before);
        }
    }
}
