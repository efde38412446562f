package dev.halftone.core.testing;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.RangeTask;
import dev.halftone.core.compute.ReferenceBackend;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.function.Consumer;

/// The reference arithmetic as a pool would use it, or watched.
public final class SplittingBackend {
    private SplittingBackend() {}

    /// Runs ranges in `parts` pieces, the last one first.
    public static Backend of(int parts) {
        return wrapped(parts, verb -> {});
    }

    /// Tells `watcher` the name of each verb before it is done.
    public static Backend watched(Consumer<String> watcher) {
        return wrapped(1, watcher);
    }

    private static Backend wrapped(int parts, Consumer<String> watcher) {
        Backend backend = new ReferenceBackend();
        return (Backend) Proxy.newProxyInstance(
                SplittingBackend.class.getClassLoader(), new Class<?>[] {Backend.class}, (proxy, method, arguments) -> {
                    watcher.accept(method.getName());
                    if (method.getName().equals("forRanges")) {
                        int count = (int) arguments[0];
                        for (int i = parts - 1; i >= 0; i--) {
                            ((RangeTask) arguments[1]).run(count * i / parts, count * (i + 1) / parts);
                        }
                        return null;
                    }
                    try {
                        return method.invoke(backend, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }
}
