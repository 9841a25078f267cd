package io.headrace.operator.stream;

import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.state.ChunkStore;
import io.headrace.operator.state.PackedEvents;
import org.apache.flink.api.common.functions.RuntimeContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeutils.base.IntSerializer;
import org.apache.flink.util.FlinkRuntimeException;

/** Keeps the chunks of one view in Flink's state, each under a key of its own. */
final class ChunksInState implements ChunkStore {
    private final MapState<Integer, PackedEvents> chunks;

    ChunksInState(RuntimeContext context, ViewPlan view) {
        chunks =
                context.getMapState(
                        new MapStateDescriptor<>(
                                "events-" + view.name(),
                                IntSerializer.INSTANCE,
                                new PackedEventsSerializer(view.columns())));
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
