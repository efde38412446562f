package dev.halftone.cli;

import java.util.List;
import java.util.stream.Stream;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/// Whole numbers as one word of the command line: `4` or `1,2,4`.
record Counts(List<Integer> values) {
    static final class Converter implements ITypeConverter<Counts> {
        @Override
        public Counts convert(String word) {
            try {
                return new Counts(Stream.of(word.split(",", -1))
                        .map(part -> Integer.parseInt(part.strip()))
                        .toList());
            } catch (NumberFormatException e) {
                throw new TypeConversionException("'" + word + "' is not a whole number, nor several as in 1,2,4");
            }
        }
    }

    static Counts of(Integer... values) {
        return new Counts(List.of(values));
    }

    /// The smallest of them.
    int least() {
        return values.stream().mapToInt(Integer::intValue).min().orElseThrow();
    }

    @Override
    public String toString() {
        return String.join(",", values.stream().map(String::valueOf).toList());
    }
}
