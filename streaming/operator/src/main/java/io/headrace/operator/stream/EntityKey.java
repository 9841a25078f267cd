package io.headrace.operator.stream;

import io.headrace.operator.plan.Plan;
import org.apache.flink.api.java.functions.KeySelector;

/** The entity that an event is about, by the join key of a stage. */
public final class EntityKey implements KeySelector<Envelope, String> {
    private static final long serialVersionUID = 1L;

    private final int[] places;

    /** The key of a stage. */
    public EntityKey(String planJson, String joinKey) {
        places =
                Plan.read(planJson).sources().stream()
                        .mapToInt(source -> source.place(joinKey))
                        .toArray();
    }

    @Override
    public String getKey(Envelope event) {
        return String.valueOf(event.row[places[event.source]]);
    }
}
