package dev.halftone.core.model;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;

/// A matrix that is used with changing numbers of rows: the view for each number is made once, so that a step of a
/// generation allocates nothing.
final class Scratch implements AutoCloseable {
    private final Matrix whole;
    private final Matrix[] views; // [rows]

    Scratch(Backend backend, int maximumRows, int columns) {
        whole = backend.allocate(maximumRows, columns);
        views = new Matrix[maximumRows + 1];
        views[maximumRows] = whole;
    }

    /// The first `rows` rows.
    Matrix rows(int rows) {
        Matrix view = views[rows];
        if (view == null) {
            view = whole.rows(0, rows);
            views[rows] = view;
        }
        return view;
    }

    @Override
    public void close() {
        whole.close();
    }
}
