package io.headrace.operator.plan;

import java.util.List;

/** What is decided about every event of a source. */
public record DecisionPlan(
        String name, String source, List<StagePlan> stages, List<RulePlan> rules) {}
