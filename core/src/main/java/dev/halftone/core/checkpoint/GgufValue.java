package dev.halftone.core.checkpoint;

import dev.halftone.core.tensor.LittleEndian;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/// One value of a GGUF file's metadata. Arrays of arrays, which the format can spell and no reader takes, are left
/// out.
public sealed interface GgufValue {
    /// As the file spells it.
    GgufValueType type();

    /// A whole number. An unsigned 64-bit number beyond 63 bits appears negative.
    record Whole(GgufValueType type, long value) implements GgufValue {
        public Whole {
            if (!type.isWhole()) {
                throw new IllegalArgumentException(type + " holds no whole number");
            }
        }
    }

    /// A number with a fraction.
    record Real(GgufValueType type, double value) implements GgufValue {
        public Real {
            if (!type.isReal()) {
                throw new IllegalArgumentException(type + " holds no number with a fraction");
            }
        }

        /// The shortest decimal that means this number in the file's own precision: 0.00001, not
        /// 0.00000999999974737875.
        public double shortest() {
            return type == GgufValueType.F32 ? Double.parseDouble(Float.toString((float) value)) : value;
        }
    }

    record Flag(boolean value) implements GgufValue {
        @Override
        public GgufValueType type() {
            return GgufValueType.BOOL;
        }
    }

    record Text(String value) implements GgufValue {
        @Override
        public GgufValueType type() {
            return GgufValueType.TEXT;
        }
    }

    /// An array of texts.
    record Texts(List<String> values) implements GgufValue {
        public Texts {
            values = List.copyOf(values);
        }

        @Override
        public GgufValueType type() {
            return GgufValueType.ARRAY;
        }
    }

    /// An array of numbers or flags, little-endian, in memory that somebody else owns.
    record Numbers(GgufValueType element, MemorySegment data) implements GgufValue {
        public Numbers {
            if (element.bytes() == 0 || data.byteSize() % element.bytes() != 0) {
                throw new IllegalArgumentException(data.byteSize() + " bytes are no array of " + element);
            }
            data = data.asReadOnly();
        }

        @Override
        public GgufValueType type() {
            return GgufValueType.ARRAY;
        }

        public long count() {
            return data.byteSize() / element.bytes();
        }

        /// Element `index` of an array of whole numbers.
        ///
        /// @throws IllegalStateException if it is none
        public long whole(long index) {
            long at = index * element.bytes();
            return switch (element) {
                case U8 -> data.get(ValueLayout.JAVA_BYTE, at) & 0xFF;
                case I8 -> data.get(ValueLayout.JAVA_BYTE, at);
                case U16 -> data.get(LittleEndian.SHORT, at) & 0xFFFF;
                case I16 -> data.get(LittleEndian.SHORT, at);
                case U32 -> data.get(LittleEndian.INT, at) & 0xFFFF_FFFFL;
                case I32 -> data.get(LittleEndian.INT, at);
                case U64, I64 -> data.get(LittleEndian.LONG, at);
                case F32, F64, BOOL, TEXT, ARRAY -> throw new IllegalStateException("an array of " + element);
            };
        }

        /// Element `index` of an array of numbers with a fraction.
        ///
        /// @throws IllegalStateException if it is none
        public double real(long index) {
            return switch (element) {
                case F32 -> data.get(LittleEndian.FLOAT, index * 4);
                case F64 -> data.get(LittleEndian.DOUBLE, index * 8);
                case U8, I8, U16, I16, U32, I32, U64, I64, BOOL, TEXT, ARRAY ->
                    throw new IllegalStateException("an array of " + element);
            };
        }
    }

    static GgufValue of(String text) {
        return new Text(text);
    }

    static GgufValue of(boolean flag) {
        return new Flag(flag);
    }

    /// The 32-bit unsigned form that readers expect of sizes and token ids.
    static GgufValue of(int count) {
        if (count < 0) {
            throw new IllegalArgumentException("a count of " + count);
        }
        return new Whole(GgufValueType.U32, count);
    }

    /// The 32-bit form that readers expect of settings.
    static GgufValue of(float setting) {
        return new Real(GgufValueType.F32, setting);
    }

    static GgufValue of(List<String> texts) {
        return new Texts(texts);
    }

    static GgufValue of(int[] numbers) {
        byte[] bytes = new byte[Math.multiplyExact(numbers.length, 4)];
        MemorySegment.copy(numbers, 0, MemorySegment.ofArray(bytes), LittleEndian.INT, 0, numbers.length);
        return new Numbers(GgufValueType.I32, MemorySegment.ofArray(bytes));
    }

    static GgufValue of(float[] numbers) {
        byte[] bytes = new byte[Math.multiplyExact(numbers.length, 4)];
        MemorySegment.copy(numbers, 0, MemorySegment.ofArray(bytes), LittleEndian.FLOAT, 0, numbers.length);
        return new Numbers(GgufValueType.F32, MemorySegment.ofArray(bytes));
    }
}
