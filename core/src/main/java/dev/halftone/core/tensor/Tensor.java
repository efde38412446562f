package dev.halftone.core.tensor;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;

/// A named, read-only view of numbers in memory that somebody else owns: row-major, little-endian, dense.
///
/// @param name  as in the checkpoint
/// @param data  exactly `type.bytes() * shape.elements()` bytes; lives as long as its arena
public record Tensor(String name, DType type, Shape shape, MemorySegment data) {
    public Tensor {
        Objects.requireNonNull(name);
        long expected = Math.multiplyExact(shape.elements(), type.bytes());
        if (data.byteSize() != expected) {
            throw new IllegalArgumentException(
                    name + ": " + type + " " + shape + " needs " + expected + " bytes, found " + data.byteSize());
        }
        data = data.asReadOnly();
    }

    /// A float32 tensor with a copy of `values`, in memory of `arena`.
    public static Tensor ofFloats(String name, Shape shape, float[] values, Arena arena) {
        return new Tensor(name, DType.F32, shape, arena.allocateFrom(LittleEndian.FLOAT, values));
    }

    /// An int32 tensor with a copy of `values`, in memory of `arena`.
    public static Tensor ofInts(String name, Shape shape, int[] values, Arena arena) {
        return new Tensor(name, DType.I32, shape, arena.allocateFrom(LittleEndian.INT, values));
    }

    /// A tensor of `type` (F32, F16 or BF16) with `values` rounded to it, in memory of `arena`.
    public static Tensor rounded(String name, DType type, Shape shape, float[] values, Arena arena) {
        if (type == DType.F32) {
            return ofFloats(name, shape, values, arena);
        }
        short[] bits = new short[values.length];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = switch (type) {
                case F16 -> Float.floatToFloat16(values[i]);
                case BF16 -> BFloat16.fromFloat(values[i]);
                case F64, F32, I64, I32, I16, I8, U8, BOOL ->
                    throw new IllegalArgumentException(name + ": floats are not written as " + type);
            };
        }
        return new Tensor(name, type, shape, arena.allocateFrom(LittleEndian.SHORT, bits));
    }

    public Tensor withName(String newName) {
        return new Tensor(newName, type, shape, data);
    }

    public long elements() {
        return shape.elements();
    }

    /// Widens `count` floating-point elements from `first` on, exactly but for F64, into `destination` at `offset`.
    ///
    /// @throws IllegalArgumentException if the elements are not floating-point
    public void copyTo(long first, int count, float[] destination, int offset) {
        Objects.checkFromIndexSize(first, (long) count, elements());
        Objects.checkFromIndexSize(offset, count, destination.length);
        switch (type) {
            case F32 -> MemorySegment.copy(data, LittleEndian.FLOAT, first * 4, destination, offset, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    destination[offset + i] = Float.float16ToFloat(data.get(LittleEndian.SHORT, (first + i) * 2));
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    destination[offset + i] = Float.intBitsToFloat(data.get(LittleEndian.SHORT, (first + i) * 2) << 16);
                }
            }
            case F64 -> {
                for (int i = 0; i < count; i++) {
                    destination[offset + i] = (float) data.get(LittleEndian.DOUBLE, (first + i) * 8);
                }
            }
            case I64, I32, I16, I8, U8, BOOL ->
                throw new IllegalArgumentException("tensor '" + name + "' is " + type + ", expected floating point");
        }
    }

    /// All elements widened to float.
    public float[] toFloats() {
        float[] values = new float[Math.toIntExact(elements())];
        copyTo(0, values.length, values, 0);
        return values;
    }

    /// All elements of an I32 tensor.
    public int[] toInts() {
        int[] values = new int[Math.toIntExact(elements())];
        copyTo(0, values.length, values, 0);
        return values;
    }

    /// Copies `count` elements of an I32 tensor from `first` on into `destination` at `offset`.
    public void copyTo(long first, int count, int[] destination, int offset) {
        if (type != DType.I32) {
            throw new IllegalArgumentException("tensor '" + name + "' is " + type + ", expected I32");
        }
        MemorySegment.copy(data, LittleEndian.INT, first * Integer.BYTES, destination, offset, count);
    }

    /// All bytes of a one-byte tensor (I8, U8, BOOL).
    public byte[] toBytes() {
        if (type.bytes() != 1) {
            throw new IllegalArgumentException("tensor '" + name + "' is " + type + ", expected one-byte elements");
        }
        return data.toArray(ValueLayout.JAVA_BYTE);
    }
}
