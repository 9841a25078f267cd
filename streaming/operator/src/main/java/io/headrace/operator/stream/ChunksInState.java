package io.headrace.operator.stream;

import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.state.ChunkStore;
import io.headrace.operator.state.PackedEvents;
import io.headrace.operator.state.SeenKeys;
import java.util.List;
import org.apache.flink.api.common.functions.RuntimeContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeutils.base.IntSerializer;
import org.apache.flink.util.FlinkRuntimeException;

/** Keeps the parts of large states in Flink's state, each under a key of its own. */
final class ChunksInState implements ChunkStore {
    private final MapState<Integer, PackedEvents> chunks;

    private ChunksInState(RuntimeContext context, String name, List<ColumnRef> columns) {
        chunks =
                context.getMapState(
                        new MapStateDescriptor<>(
                                name,
                                IntSerializer.INSTANCE,
                                new PackedEventsSerializer(columns)));
    }

    /** For the events of a view. */
    static ChunksInState ofEvents(RuntimeContext context, ViewPlan view) {
        return new ChunksInState(context, "events-" + view.name(), view.columns());
    }

    /** For the dedup keys of a source. */
    static ChunksInState ofKeys(RuntimeContext context, SourcePlan source) {
        return new ChunksInState(context, "keys-" + source.name(), SeenKeys.NO_COLUMNS);
    }

    @Override
    public PackedEvents load(int number) {
        try {
            return chunks.get(number);
        } catch (Exception error) {
            throw new FlinkRuntimeException("events of an entity can't be read", error);
        }
    }

    @Override
    public void save(int number, PackedEvents events) {
        try {
            chunks.put(number, events);
        } catch (Exception error) {
            throw new FlinkRuntimeException("events of an entity can't be kept", error);
        }
    }

    @Override
    public void delete(int number) {
        try {
            chunks.remove(number);
        } catch (Exception error) {
            throw new FlinkRuntimeException("events of an entity can't be taken out", error);
        }
    }
}
