package dev.halftone.core.checkpoint;

import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The settings in front of a GGUF file's tensors. Every complaint names the file and the key.
public final class GgufMetadata {
    private static final String REMEDY = "download the file again, or another file of the same model";

    private final Path file;
    private final Map<String, GgufValue> values;

    GgufMetadata(Path file, Map<String, GgufValue> values) {
        this.file = file;
        this.values = Collections.unmodifiableMap(new LinkedHashMap<>(values));
    }

    /// By key, in the order of the file.
    public Map<String, GgufValue> values() {
        return values;
    }

    public boolean has(String key) {
        return values.containsKey(key);
    }

    /// @throws MalformedCheckpointException if there is none, or it is something else
    public String text(String key) {
        return required(key, GgufValue.Text.class, "a text").value();
    }

    public String text(String key, String absent) {
        return has(key) ? text(key) : absent;
    }

    /// A whole number from `minimum` to `maximum`.
    ///
    /// @throws MalformedCheckpointException if there is none, or it is something else
    public int whole(String key, int minimum, int maximum) {
        String expected = "a whole number from " + minimum + " to " + maximum;
        long value = required(key, GgufValue.Whole.class, expected).value();
        if (value < minimum || value > maximum) {
            throw unfit(key, "found " + value + ", expected " + expected);
        }
        return (int) value;
    }

    public int whole(String key, int minimum, int maximum, int absent) {
        return has(key) ? whole(key, minimum, maximum) : absent;
    }

    /// A finite number above zero, as its shortest decimal.
    ///
    /// @throws MalformedCheckpointException if there is none, or it is something else
    public double positive(String key) {
        double value = required(key, GgufValue.Real.class, "a number").shortest();
        if (!(value > 0) || !Double.isFinite(value)) {
            throw unfit(key, "found " + value + ", expected a number above 0");
        }
        return value;
    }

    public double positive(String key, double absent) {
        return has(key) ? positive(key) : absent;
    }

    public boolean flag(String key, boolean absent) {
        return has(key) ? required(key, GgufValue.Flag.class, "true or false").value() : absent;
    }

    /// @throws MalformedCheckpointException if there are none, or it is something else
    public List<String> texts(String key) {
        return required(key, GgufValue.Texts.class, "a list of texts").values();
    }

    /// A list of whole numbers that fit an int.
    ///
    /// @throws MalformedCheckpointException if there is none, or it is something else
    public int[] wholes(String key) {
        GgufValue.Numbers numbers = numbers(key, "a list of whole numbers");
        if (!numbers.element().isWhole()) {
            throw unfit(key, "found a list of " + numbers.element() + ", expected whole numbers");
        }
        int[] wholes = new int[Math.toIntExact(numbers.count())];
        for (int i = 0; i < wholes.length; i++) {
            long value = numbers.whole(i);
            if (value != (int) value) {
                throw unfit(key, "found " + value + " at index " + i + ", expected 32 bits");
            }
            wholes[i] = (int) value;
        }
        return wholes;
    }

    /// A list of finite numbers.
    ///
    /// @throws MalformedCheckpointException if there is none, or it is something else
    public float[] reals(String key) {
        GgufValue.Numbers numbers = numbers(key, "a list of numbers");
        if (!numbers.element().isReal()) {
            throw unfit(key, "found a list of " + numbers.element() + ", expected numbers with a fraction");
        }
        float[] reals = new float[Math.toIntExact(numbers.count())];
        for (int i = 0; i < reals.length; i++) {
            reals[i] = (float) numbers.real(i);
            if (!Float.isFinite(reals[i])) {
                throw unfit(key, "found " + reals[i] + " at index " + i + ", expected finite numbers");
            }
        }
        return reals;
    }

    private GgufValue.Numbers numbers(String key, String expected) {
        GgufValue.Numbers numbers = required(key, GgufValue.Numbers.class, expected);
        if (numbers.count() > GgufParser.MOST_TEXTS) {
            throw unfit(key, "found " + numbers.count() + " numbers, at most " + GgufParser.MOST_TEXTS + " are read");
        }
        return numbers;
    }

    private <V extends GgufValue> V required(String key, Class<V> kind, String expected) {
        GgufValue value = values.get(key);
        if (value == null) {
            throw new MalformedCheckpointException(
                    file, null, "metadata lack " + Quoted.of(key), "expected " + expected, REMEDY);
        }
        if (!kind.isInstance(value)) {
            throw unfit(key, "found " + value.type() + ", expected " + expected);
        }
        return kind.cast(value);
    }

    /// A complaint about the value at `key`.
    public MalformedCheckpointException unfit(String key, String detail) {
        return new MalformedCheckpointException(
                file, null, "metadata key " + Quoted.of(key) + " cannot be used", detail, REMEDY);
    }
}
