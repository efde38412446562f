package dev.halftone.core.compute;

/// Float32 working memory `[rows, columns]` that lives where its backend lives. Only the backend that made it reads and
/// writes it.
public interface Matrix extends AutoCloseable {
    int rows();

    int columns();

    /// A part of this matrix that shares its memory. Closing a view does nothing; it is dead once its owner is closed.
    ///
    /// @throws IndexOutOfBoundsException if the part reaches outside
    Matrix view(int firstRow, int rows, int firstColumn, int columns);

    /// Whole rows `[firstRow, firstRow + rows)` as a view.
    default Matrix rows(int firstRow, int rows) {
        return view(firstRow, rows, 0, columns());
    }

    /// Rows `first`, `first + step`, `first + 2·step`, … as a view.
    ///
    /// @param step at least 1
    /// @throws IndexOutOfBoundsException if there is no row `first`
    Matrix everyNth(int first, int step);

    /// Frees the memory; a second call does nothing.
    @Override
    void close();
}
