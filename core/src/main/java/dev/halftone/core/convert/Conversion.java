package dev.halftone.core.convert;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Turns models of one file format into another. Every output appears whole or not at all, and every conversion
/// reports what became of each tensor.
///
/// | from | to | |
/// |---|---|---|
/// | GGUF file, or directory dense or packed | directory in floating point | [#toDense] |
/// | GGUF file with linears in Q4_0 or Q8_0 | packed directory, the same codes | [#toPacked] |
/// | packed directory | packed directory of another layout, the same codes | [#repack] |
/// | directory dense or packed | GGUF file | [#toGguf] |
public final class Conversion {
    private Conversion() {}

    /// Writes `source`, a GGUF file or a model directory, as a directory in floating point.
    ///
    /// @param type F32, F16 or BF16
    /// @throws HalftoneException        if the source is broken or not supported; or the target is taken or its
    ///     disk too small
    /// @throws IllegalArgumentException if weights are not stored as `type`
    public static ConversionReport toDense(Path source, Path directory, DType type, ConversionProgress progress)
            throws IOException {
        plain(type);
        return Files.isDirectory(source)
                ? DenseExport.write(source, directory, type, progress)
                : GgufImport.dense(source, directory, type, progress);
    }

    /// Writes a GGUF file as a directory whose linears keep their codes, in groups of 32.
    ///
    /// @param type   of everything that is not packed: F32, F16 or BF16
    /// @param layout one of [PackedLayouts#NAMES]
    /// @throws HalftoneException        like [#toDense]; or of kind USAGE if no linear is in Q4_0 or Q8_0
    /// @throws IllegalArgumentException if weights are not stored as `type`
    public static ConversionReport toPacked(
            Path gguf, Path directory, DType type, String layout, ConversionProgress progress) throws IOException {
        plain(type);
        return GgufImport.packed(gguf, directory, type, layout, progress);
    }

    /// Writes a packed directory in another layout, with the same codes; what is not packed is copied.
    ///
    /// @param layout one of [PackedLayouts#NAMES]
    /// @throws HalftoneException if the source is broken; of kind USAGE if it is not packed, or the layout has no
    ///     place for what it holds; or the target is taken or its disk too small
    public static ConversionReport repack(Path source, Path directory, String layout, ConversionProgress progress)
            throws IOException {
        return Repacking.write(source, directory, layout, progress);
    }

    /// Writes a model directory, dense or packed, as a GGUF file.
    ///
    /// @throws HalftoneException like [GgufExport#write]
    public static ConversionReport toGguf(Path directory, Path target, GgufOptions options, ConversionProgress progress)
            throws IOException {
        return GgufExport.write(directory, target, options, progress);
    }

    /// The GGUF type that stores numbers just so.
    ///
    /// @throws IllegalArgumentException if weights are not stored as `type`
    static GgufType plain(DType type) {
        return switch (type) {
            case F32 -> GgufType.F32;
            case F16 -> GgufType.F16;
            case BF16 -> GgufType.BF16;
            case F64, I64, I32, I16, I8, U8, BOOL ->
                throw new IllegalArgumentException("weights are stored as F32, F16 or BF16, not " + type);
        };
    }

    /// As `torch_dtype` spells a type of weights.
    static String torchName(DType type) {
        return switch (plain(type)) {
            case F32 -> "float32";
            case F16 -> "float16";
            default -> "bfloat16";
        };
    }
}
