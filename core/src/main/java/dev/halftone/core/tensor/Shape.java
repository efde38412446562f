package dev.halftone.core.tensor;

import java.util.Arrays;
import java.util.List;

/// Sizes of a tensor's axes, outermost first. A scalar has none.
public record Shape(List<Long> sizes) {
    public Shape {
        sizes = List.copyOf(sizes);
        for (long size : sizes) {
            if (size < 0) {
                throw new IllegalArgumentException("negative size in shape " + sizes);
            }
        }
    }

    public static Shape of(long... sizes) {
        return new Shape(Arrays.stream(sizes).boxed().toList());
    }

    public int rank() {
        return sizes.size();
    }

    public long size(int axis) {
        return sizes.get(axis);
    }

    /// Product of the sizes.
    ///
    /// @throws ArithmeticException if it does not fit a long
    public long elements() {
        long product = 1;
        for (long size : sizes) {
            product = Math.multiplyExact(product, size);
        }
        return product;
    }

    @Override
    public String toString() {
        return sizes.toString();
    }
}
