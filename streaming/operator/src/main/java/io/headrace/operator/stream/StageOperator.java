package io.headrace.operator.stream;

import java.util.List;
import java.util.stream.Stream;
import org.apache.flink.runtime.state.VoidNamespace;
import org.apache.flink.runtime.state.VoidNamespaceSerializer;
import org.apache.flink.streaming.api.operators.InternalTimerService;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;

/**
 * A stage as Flink runs it.
 *
 * <p>A job in ordered mode may have left events that wait for the watermark, which may not come for
 * long. In immediate mode they are taken in as soon as the job goes on.
 */
public final class StageOperator extends KeyedProcessOperator<String, Envelope, Envelope> {
    private static final long serialVersionUID = 1L;
    // By Flink's own name, which the function's timers have.
    private static final String TIMERS = "user-timers";

    private final boolean ordered;

    /** The operator of a stage's function. */
    public StageOperator(FeatureFunction function) {
        super(function);
        ordered = function.isOrdered();
    }

    @Override
    public void open() throws Exception {
        super.open();
        if (ordered) {
            return;
        }
        InternalTimerService<VoidNamespace> timers =
                getInternalTimerService(TIMERS, VoidNamespaceSerializer.INSTANCE, this);
        for (String key : waiting()) {
            setCurrentKey(key);
            timers.registerProcessingTimeTimer(VoidNamespace.INSTANCE, 0);
        }
    }

    private List<String> waiting() {
        try (Stream<String> keys =
                this.<String>getKeyedStateBackend()
                        .getKeys(FeatureFunction.WAITING, VoidNamespace.INSTANCE)) {
            return keys.toList();
        }
    }
}
