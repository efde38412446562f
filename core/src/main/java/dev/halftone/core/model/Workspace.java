package dev.halftone.core.model;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;

/// All working memory of a forward pass of up to `maximumRows` tokens. One pass at a time; what a method returns is a
/// view for the given number of rows, made once, so that repeating a number allocates nothing.
public final class Workspace implements AutoCloseable {
    private final int maximumRows;
    private final RotaryAngles angles;
    private final Scratch normed; // [rows, hidden]
    private final Scratch queries; // [rows, heads * headSize]
    private final Scratch keys; // [rows, kvHeads * headSize]
    private final Scratch values; // [rows, kvHeads * headSize]
    private final Scratch attended; // [rows, heads * headSize]
    private final Scratch projected; // [rows, hidden]
    private final Scratch up; // [rows, intermediate]
    private final Scratch activated; // [rows, intermediate]
    private final Matrix[] projections = new Matrix[3]; // queries, keys and values of a pass
    private final Matrix[] gateAndUp = new Matrix[2];

    public Workspace(Backend backend, LlamaConfig config, int maximumRows) {
        if (maximumRows < 1) {
            throw new IllegalArgumentException("room for " + maximumRows + " rows");
        }
        this.maximumRows = maximumRows;
        angles = new RotaryAngles(backend, config, maximumRows);
        int queryColumns = config.heads() * config.headSize();
        int kvColumns = config.kvHeads() * config.headSize();
        normed = new Scratch(backend, maximumRows, config.hidden());
        queries = new Scratch(backend, maximumRows, queryColumns);
        keys = new Scratch(backend, maximumRows, kvColumns);
        values = new Scratch(backend, maximumRows, kvColumns);
        attended = new Scratch(backend, maximumRows, queryColumns);
        projected = new Scratch(backend, maximumRows, config.hidden());
        up = new Scratch(backend, maximumRows, config.intermediate());
        activated = new Scratch(backend, maximumRows, config.intermediate());
    }

    public int maximumRows() {
        return maximumRows;
    }

    /// The angles that belong to the pass; whoever runs blocks one by one prepares them first.
    public RotaryAngles angles() {
        return angles;
    }

    /// For normed hidden states.
    public Matrix normed(int rows) {
        return normed.rows(rows);
    }

    Matrix queries(int rows) {
        return queries.rows(rows);
    }

    Matrix keys(int rows) {
        return keys.rows(rows);
    }

    Matrix values(int rows) {
        return values.rows(rows);
    }

    /// Queries, keys and values, in an array that the next call fills again.
    Matrix[] projections(int rows) {
        projections[0] = queries(rows);
        projections[1] = keys(rows);
        projections[2] = values(rows);
        return projections;
    }

    /// `gate` and a matrix like it, in an array that the next call fills again.
    Matrix[] gateAndUp(Matrix gate) {
        gateAndUp[0] = gate;
        gateAndUp[1] = up(gate.rows());
        return gateAndUp;
    }

    Matrix attended(int rows) {
        return attended.rows(rows);
    }

    Matrix projected(int rows) {
        return projected.rows(rows);
    }

    Matrix up(int rows) {
        return up.rows(rows);
    }

    Matrix activated(int rows) {
        return activated.rows(rows);
    }

    @Override
    public void close() {
        angles.close();
        for (Scratch scratch : new Scratch[] {normed, queries, keys, values, attended, projected, up, activated}) {
            scratch.close();
        }
    }
}
