package dev.halftone.core.tensor;

/// Element types that a safetensors file of ours may hold. Names equal the format's own spelling.
public enum DType {
    F64(8),
    F32(4),
    F16(2),
    BF16(2),
    I64(8),
    I32(4),
    I16(2),
    I8(1),
    U8(1),
    BOOL(1);

    private final int bytes;

    DType(int bytes) {
        this.bytes = bytes;
    }

    /// Bytes of one element.
    public int bytes() {
        return bytes;
    }

    /// True for the types whose elements are numbers with a fraction.
    public boolean isFloating() {
        return switch (this) {
            case F64, F32, F16, BF16 -> true;
            case I64, I32, I16, I8, U8, BOOL -> false;
        };
    }

    /// `value` as this type would store and restore it. Only for [#F32], [#F16] and [#BF16], the types in which scales
    /// are stored.
    ///
    /// @throws IllegalArgumentException for any other type
    public float round(float value) {
        return switch (this) {
            case F32 -> value;
            case F16 -> Float.float16ToFloat(Float.floatToFloat16(value));
            case BF16 -> BFloat16.toFloat(BFloat16.fromFloat(value));
            case F64, I64, I32, I16, I8, U8, BOOL ->
                throw new IllegalArgumentException("no scale is stored as " + this + "; expected F32, F16 or BF16");
        };
    }

    /// The largest number of this type that is not above `value`, which is not negative. Only for the types that
    /// [#round] takes.
    ///
    /// @throws IllegalArgumentException for any other type
    public float roundDown(float value) {
        float rounded = round(value);
        if (rounded <= value) {
            return rounded;
        }
        return switch (this) {
            // The bits of positive numbers are in the order of the numbers.
            case F16 -> Float.float16ToFloat((short) (Float.floatToFloat16(value) - 1));
            case BF16 -> BFloat16.toFloat((short) (BFloat16.fromFloat(value) - 1));
            case F32, F64, I64, I32, I16, I8, U8, BOOL -> throw new AssertionError(this + " rounds nothing up");
        };
    }
}
