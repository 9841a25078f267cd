package io.headrace.operator.stream;

import io.headrace.operator.aggregate.MessagePacker;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.state.FieldSink;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;

/**
 * Tells of the fields of one view's online state that change, a record for each.
 *
 * <p>A record is keyed by the field, so that a topic can be compacted to the newest content of each,
 * and placed by the entity, so that the fields of one keep their order.
 */
final class UpdateSink implements FieldSink {
    private static final int VERSION = 1;

    private final ViewPlan view;
    private final long epoch;
    private final MessagePacker packer = new MessagePacker();
    private KeyedProcessFunction<String, Envelope, Envelope>.Context context;
    private Object entity;
    private Envelope event;
    private long sequence;

    UpdateSink(ViewPlan view, long epoch) {
        this.view = view;
        this.epoch = epoch;
    }

    /** What comes next is changed by an event, which is the state's number `sequence`. */
    void begin(
            KeyedProcessFunction<String, Envelope, Envelope>.Context of,
            Object key,
            Envelope by,
            long number) {
        context = of;
        entity = key;
        event = by;
        sequence = number;
    }

    @Override
    public void put(String field, byte[] content) {
        String owner = view.name() + ":" + view.version() + ":" + entity;
        byte[] key = (owner + ":" + field).getBytes(StandardCharsets.UTF_8);
        OutRecord record = new OutRecord(key, packed(field, content));
        record.placedBy = owner;
        context.output(Outputs.UPDATES, record);
    }

    private byte[] packed(String field, byte[] content) {
        try {
            packer.map(10);
            text("encoding", (long) VERSION);
            text("view", view.name());
            text("version", (long) view.version());
            text("fingerprint", view.fingerprint());
            text("entity", entity);
            text("epoch", epoch);
            text("sequence", sequence);
            text("event_time", event.time);
            text("field", field);
            packer.text("content");
            packer.binary(content);
            return packer.bytes();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void text(String name, Object value) throws IOException {
        packer.text(name);
        packer.value(value);
    }
}
