package io.headrace.operator.stream;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.Admin;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.TransactionListing;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.TransactionState;

/** The transactions that former deployments of a decision have left open on the broker. */
final class OpenTransactions {
    private static final long PATIENCE_NANOS = Duration.ofSeconds(60).toNanos();
    private static final long POLL_MS = 50;
    private static final Set<TransactionState> OPEN =
            Set.of(
                    TransactionState.ONGOING,
                    TransactionState.PREPARE_COMMIT,
                    TransactionState.PREPARE_ABORT);

    private final Deployment deployment;
    private final String base;

    /**
     * Those of a decision.
     *
     * @param base what the ids of its transactions begin with, before the number of the deployment
     */
    OpenTransactions(Deployment deployment, String base) {
        this.deployment = deployment;
        this.base = base;
    }

    /**
     * Waits until none is open, having aborted those that nobody is going to commit.
     *
     * @param restored number of the deployment whose state this one goes on from: what that one
     *     has prepared is committed by the sinks as they are restored, and the rest aborted; 0
     *     where there is no state
     * @throws IllegalStateException when one stays open
     */
    void settle(long restored) throws ExecutionException, InterruptedException {
        long start = System.nanoTime();
        try (Admin admin = Admin.create(deployment.client())) {
            Map<String, Long> open = open(admin);
            while (!open.isEmpty()) {
                List<String> lost =
                        open.entrySet().stream()
                                .filter(one -> one.getValue() != restored)
                                .map(Map.Entry::getKey)
                                .toList();
                if (!lost.isEmpty()) {
                    admin.fenceProducers(lost).all().get();
                }
                if (System.nanoTime() - start > PATIENCE_NANOS) {
                    throw new IllegalStateException(
                            "transactions of a former deployment stay open: " + open.keySet());
                }
                Thread.sleep(POLL_MS);
                open = open(admin);
            }
        }
    }

    /** Those of former deployments by their ids, each with the number of its deployment. */
    private Map<String, Long> open(Admin admin) throws ExecutionException, InterruptedException {
        ListTransactionsOptions options = new ListTransactionsOptions().filterStates(OPEN);
        Map<String, Long> found = new HashMap<>();
        for (TransactionListing listing : admin.listTransactions(options).all().get()) {
            long epoch = epoch(base, listing.transactionalId());
            // A newer one supersedes this deployment, which is then about to end.
            if (epoch > 0 && epoch < deployment.epoch()) {
                found.put(listing.transactionalId(), epoch);
            }
        }
        return found;
    }

    /** The number of the deployment in an id of base, epoch, subtask and checkpoint; else 0. */
    static long epoch(String base, String id) {
        if (!id.startsWith(base + "-")) {
            return 0;
        }
        String[] numbers = id.substring(base.length() + 1).split("-", -1);
        return numbers.length == 3 && numbers[0].matches("[0-9]{1,18}")
                ? Long.parseLong(numbers[0])
                : 0;
    }
}
