package dev.halftone.core.model;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.Weight;
import java.util.Map;

/// Takes weights out of a checkpoint, holds them against the shapes that the configuration implies, and binds them.
///
/// @param replaced norms and biases that stand for those of the checkpoint, by full name
record WeightLoader(LinearWeights weights, Checkpoint checkpoint, Backend backend, Map<String, Tensor> replaced) {
    /// The checkpoint as it is.
    WeightLoader(LinearWeights weights, Checkpoint checkpoint, Backend backend) {
        this(weights, checkpoint, backend, Map.of());
    }

    /// @param biased whether the model's linear has a bias
    Linear linear(String name, int outputs, int inputs, boolean biased) {
        return bind(name, weights.stored(name), outputs, inputs, biased);
    }

    /// Binds `weight`, from wherever, in the place of the checkpoint's, with the checkpoint's bias.
    Linear bind(String name, Weight weight, int outputs, int inputs, boolean biased) {
        requireShape(name + ".weight", Shape.of(weight.outputs(), weight.inputs()), Shape.of(outputs, inputs));
        return backend.bind(weight, bias(name, outputs, biased));
    }

    /// A table, which most layouts leave in floating point.
    Linear table(String name, int rows, int columns) {
        if (weights.isPacked(name)) {
            return linear(name, rows, columns, false);
        }
        Tensor tensor = floating(name + ".weight", Shape.of(rows, columns));
        return backend.bind(new DenseWeight(tensor), null);
    }

    /// A vector as a matrix of one row.
    Matrix vector(String name, int length) {
        Tensor tensor = replaced.get(name);
        if (tensor == null) {
            tensor = floating(name, Shape.of(length));
            checkpoint.requireFinite(name);
        }
        Matrix matrix = backend.allocate(1, length);
        backend.copyIn(tensor.toFloats(), 0, matrix);
        return matrix;
    }

    private Tensor floating(String name, Shape shape) {
        Tensor tensor = checkpoint.tensor(name);
        requireShape(name, tensor.shape(), shape);
        if (!tensor.type().isFloating()) {
            throw fault(name, "has the wrong type", "found " + tensor.type() + ", expected floating point");
        }
        return tensor;
    }

    private float[] bias(String linear, int outputs, boolean biased) {
        Tensor replacement = replaced.get(linear + ".bias");
        float[] bias = replacement == null ? weights.bias(linear) : replacement.toFloats();
        if (!biased) {
            requireNoBias(linear, bias);
            return null;
        }
        if (bias == null) {
            throw fault(linear + ".bias", "tensor is missing", "config.json gives this linear a bias");
        }
        requireShape(linear + ".bias", Shape.of(bias.length), Shape.of(outputs));
        return bias;
    }

    /// Some writers of packed files store zeros for a bias that the model does not have.
    private void requireNoBias(String linear, float[] bias) {
        for (float value : bias == null ? new float[0] : bias) {
            if (value != 0) {
                throw fault(linear + ".bias", "the model has no such bias", "config.json gives this linear none");
            }
        }
    }

    private void requireShape(String tensor, Shape found, Shape expected) {
        if (!found.equals(expected)) {
            throw fault(tensor, "has the wrong shape", "found " + found + ", config.json implies " + expected);
        }
    }

    private MalformedCheckpointException fault(String tensor, String problem, String detail) {
        return new MalformedCheckpointException(
                checkpoint.directory(),
                tensor,
                problem,
                detail,
                "check that config.json and the weight files are of the same model");
    }
}
