package dev.halftone.core.compute;

class RoundedInputsTest extends RoundedInputsContract {
    @Override
    protected Backend open() {
        return new ReferenceBackend();
    }
}
