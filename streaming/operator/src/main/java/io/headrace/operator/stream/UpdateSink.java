package io.headrace.operator.stream;

import io.headrace.operator.aggregate.MessagePacker;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.state.FieldSink;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;

/**
 * Tells of the fields of one view's online state that change, a record for each.
 *
 * <p>A record is keyed by the field, so that a topic can be compacted to the newest content of each,
 * and placed by the entity, so that the fields of one keep their order.
 */
final class UpdateSink implements FieldSink {
    private static final int VERSION = 3;

    /** Is told of content that is too large for a record. */
    interface TooLarge {
        void told(Envelope event, ViewPlan view, long sequence);
    }

    private final ViewPlan view;
    private final byte[] ofAll;
    private final TooLarge tooLarge;
    private final Consumer<OutRecord> records;
    private final MessagePacker packer = new MessagePacker();
    private Object entity;
    private Envelope event;
    private long sequence;
    private boolean lacksSome;

    /**
     * For one view.
     *
     * @param epoch number of the deployment
     * @param records takes the records
     * @param tooLarge is told of fields that have no record
     */
    UpdateSink(ViewPlan view, long epoch, Consumer<OutRecord> records, TooLarge tooLarge) {
        this.view = view;
        this.records = records;
        this.tooLarge = tooLarge;
        ofAll = ofAll(epoch);
    }

    /** The beginning of every record: how many fields it has, and those that are always the same. */
    private byte[] ofAll(long epoch) {
        try {
            packer.map(10);
            field("encoding", (long) VERSION);
            field("view", view.name());
            field("version", (long) view.version());
            field("fingerprint", view.fingerprint());
            field("epoch", epoch);
            return packer.bytes();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** What comes next is changed by an event, which is the state's number `sequence`. */
    void begin(Object key, Envelope by, long number) {
        entity = key;
        event = by;
        sequence = number;
        lacksSome = false;
    }

    @Override
    public void put(String field, byte[] content) {
        if (content.length > Outputs.MOST_BYTES) {
            tooLarge.told(event, view, sequence);
            lacksSome = true;
            return;
        }
        String owner = view.name() + ":" + view.version() + ":" + entity;
        byte[] key = (owner + ":" + field).getBytes(StandardCharsets.UTF_8);
        OutRecord record = new OutRecord(Outputs.FEATURE_UPDATES, key, packed(field, content));
        record.placedBy = owner;
        records.accept(record);
    }

    @Override
    public boolean lacksSome() {
        return lacksSome;
    }

    private byte[] packed(String field, byte[] content) {
        try {
            packer.packed(ofAll);
            field("entity", entity);
            field("sequence", sequence);
            field("event_time", event.time);
            field("field", field);
            packer.text("content");
            packer.binary(content);
            return packer.bytes();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void field(String name, Object value) throws IOException {
        packer.text(name);
        packer.value(value);
    }
}
