package io.headrace.operator.stream;

import io.headrace.operator.BadRecord;
import io.headrace.operator.decode.EventDecoder;
import io.headrace.operator.decode.RowRules;
import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.SourcePlan;
import java.util.Arrays;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.util.Collector;

/** Reads the records of one source's topic; one that can't be used is marked with the reason. */
public final class RecordDecoder implements KafkaRecordDeserializationSchema<Envelope> {
    private static final long serialVersionUID = 1L;
    private static final byte[] NOTHING = {};
    private static final int MOST_BYTES = 2 << 20;

    private final String planJson;
    private final int sourcePlace;
    private final long mostAhead;
    private transient SourcePlan source;
    private transient EventDecoder decoder;
    private transient RowRules rules;
    private transient int timePlace;
    private transient int availablePlace;

    /**
     * A decoder.
     *
     * @param source place of the source in the plan
     * @param mostAhead how far an event may be ahead of the time its record was sent, ms
     * @throws IllegalArgumentException a pattern of the source is none of Java's
     */
    public RecordDecoder(String planJson, int source, long mostAhead) {
        this.planJson = planJson;
        this.sourcePlace = source;
        this.mostAhead = mostAhead;
        // What can't be read is told to who deploys, not to a job that would fail for ever.
        prepare();
    }

    @Override
    public void open(DeserializationSchema.InitializationContext context) {
        prepare();
    }

    private void prepare() {
        source = Plan.read(planJson).sources().get(sourcePlace);
        decoder = new EventDecoder(source);
        rules = new RowRules(source);
        timePlace = source.timePlace();
        availablePlace = source.availablePlace();
    }

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Envelope> out) {
        Envelope event = new Envelope();
        event.source = sourcePlace;
        event.raw = record.value();
        event.rawKey = record.key();
        event.partition = record.partition();
        event.offset = record.offset();
        event.sentAt = record.timestamp();
        event.available = record.timestamp();
        try {
            byte[] raw = event.raw == null ? NOTHING : event.raw;
            checkSize(event, raw);
            Object[] row = decoded(raw);
            long time = (Long) row[timePlace];
            long available = availablePlace < 0 ? time : (Long) row[availablePlace];
            checkAhead(Math.max(time, available), record.timestamp());
            checkRules(row, available, record.timestamp());
            event.row = row;
            event.time = time;
            event.available = available;
        } catch (BadRecord bad) {
            event.reason = bad.reason();
            event.message = bad.getMessage();
        }
        out.collect(event);
    }

    private Object[] decoded(byte[] raw) throws BadRecord {
        try {
            return decoder.decode(raw);
        } catch (RuntimeException | StackOverflowError failure) {
            throw BadRecord.failed(failure);
        }
    }

    private void checkRules(Object[] row, long knownAt, long sentAt) throws BadRecord {
        try {
            rules.check(row, knownAt, sentAt);
        } catch (RuntimeException | StackOverflowError failure) {
            throw BadRecord.failed(failure);
        }
    }

    // What is decided about a record has to fit into a record again.
    private void checkSize(Envelope event, byte[] raw) throws BadRecord {
        int bytes = raw.length;
        if (bytes > MOST_BYTES) {
            event.raw = Arrays.copyOf(raw, MOST_BYTES);
            throw new BadRecord(
                    "too_large",
                    source.schema()
                            + " has "
                            + bytes
                            + " bytes, of which the first "
                            + MOST_BYTES
                            + " are kept, expected no more than these");
        }
    }

    @Override
    public TypeInformation<Envelope> getProducedType() {
        return Types.ENVELOPE;
    }

    // An event from the future would make every later one of its entity late.
    private void checkAhead(long time, long sentAt) throws BadRecord {
        if (time - sentAt > mostAhead) {
            throw new BadRecord(
                    "event_time_out_of_range",
                    source.schema()
                            + " is of "
                            + time
                            + ", "
                            + (time - sentAt)
                            + " ms after it was sent, expected at most "
                            + mostAhead);
        }
    }
}
