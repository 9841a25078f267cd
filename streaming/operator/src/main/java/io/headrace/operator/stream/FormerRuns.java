package io.headrace.operator.stream;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What former runs of a job have committed and told about events that this one meets again.
 *
 * <p>Within one deployment Flink's own checkpoints see to it that a decision is committed once.
 * From one deployment to the next the sources may go back behind what is committed: to an older
 * savepoint, or to the beginning.
 */
final class FormerRuns implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(FormerRuns.class);
    private static final String DECISIONS = "decisions";
    private static final String ALERTS = "alerts";

    private final Deployment deployment;
    private final String decisions;
    private final String[] topics;
    private final String decision;
    private final String availableColumn;
    private final TopicReader reader;
    private final DeploymentWatch watch;
    private final Horizon horizon;
    private EndsAhead ahead;
    private final MadeDecisions made = new MadeDecisions();
    private final ToldAlerts told = new ToldAlerts();
    private Map<TopicPartition, Long> from = Map.of();
    private long taken;

    FormerRuns(Deployment deployment, String decision, String availableColumn, boolean ordered) {
        this.deployment = deployment;
        this.decisions = DECISIONS + deployment.log().ending();
        // Of decisions that nobody reads there are no alerts.
        this.topics =
                deployment.log().isLive()
                        ? new String[] {decisions, ALERTS}
                        : new String[] {decisions};
        this.decision = decision;
        this.availableColumn = availableColumn;
        this.horizon = new Horizon(ordered);
        reader = new TopicReader(deployment);
        watch = new DeploymentWatch(deployment, reader);
    }

    /**
     * Learns what there is, before the first event.
     *
     * <p>Once no transaction of a former deployment is open, and since a deployment that sees a
     * newer one commits nothing more, everything that others ever commit is before the end that is
     * found then. What holds that end back are records of this deployment alone: of subtasks that
     * were quicker to start.
     */
    void learn(Bookmark restored, String transactions)
            throws ExecutionException, InterruptedException {
        watch.check();
        if (restored.epoch() != deployment.epoch()) {
            watch.announce(restored.epoch());
            new OpenTransactions(deployment, transactions).settle(restored.epoch());
        }
        Map<TopicPartition, Long> ends = reader.ends(topics);
        // A state with which others were written tells nothing of this one.
        from = reader.since(deployment.log().sinceMs(), ends.keySet());
        from.putAll(restored.start());
        from.keySet().retainAll(ends.keySet());
        long start = System.nanoTime();
        reader.read(from, ends, this::take);
        ends.putAll(reader.ends(DeploymentWatch.TOPIC));
        ahead = new EndsAhead(deployment, ends);
        LOG.info(
                "{}: read {} records of former runs in {} ms",
                decision,
                taken,
                TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start));
    }

    private void take(ConsumerRecord<byte[], byte[]> record) {
        PastDecision past = PastDecision.read(record.value(), availableColumn);
        if (past == null
                || !past.project().equals(deployment.project())
                || !past.decision().equals(decision)) {
            return;
        }
        taken++;
        horizon.add(past.place(), past.available());
        if (record.topic().equals(decisions)) {
            made.add(past.place(), past.id());
        } else {
            told.add(past.place(), past.id(), record.value(), past.retracted());
        }
    }

    /** Whether the decision about an event that has come is committed already. */
    boolean decided(Envelope event, String id) {
        horizon.see(event.partition, event.offset);
        return made.contains(new Place(event.partition, event.offset), id);
    }

    /** What there is to tell about an event, given its alert if it is flagged. */
    ToldAlerts.Todo todo(Envelope event, String id, byte[] alert) {
        if (alert != null) {
            // An alert is seen at once: nobody can take it out of sight later on.
            watch.checkNowAndThen(ahead);
        }
        return told.todo(new Place(event.partition, event.offset), id, alert);
    }

    /** At the barrier of a checkpoint: where a job that goes on from it begins to read. */
    byte[] bookmark(long watermark) throws IOException {
        // Those of a moment ago do: whoever goes on from here reads a little more.
        Map<TopicPartition, Long> ends = new HashMap<>(ahead.answer().ends());
        ends.keySet().removeIf(partition -> partition.topic().equals(DeploymentWatch.TOPIC));
        ahead.ask();
        boolean passed = horizon.passed(watermark);
        if (passed) {
            made.clear();
            told.clear();
            from = ends;
        }
        return new Bookmark(deployment.epoch(), passed, from, ends).bytes();
    }

    @Override
    public void close() {
        if (ahead != null) {
            ahead.close();
        }
        reader.close();
    }
}
