/* Helpers and plans of hand.h. */
#include "support/hand.h"

#include <string.h>

dfl_model *test_mixture(void) {
    dfl_model *model = NULL;
    assert_ok(dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &model));
    return model;
}

dfl_plan *plan_of(const dfl_model *model, const char *spec) {
    dfl_plan *plan = NULL;
    assert_ok(dfl_plan_new(model, spec, &plan));
    return plan;
}

dfl_plan *plan_from(const char *json) {
    dfl_plan *plan = NULL;
    assert_ok(dfl_plan_from_json(json, strlen(json), &plan));
    return plan;
}

dfl_run *run_of(const dfl_plan *plan, dfl_model *model, const char *options) {
    dfl_run *run = NULL;
    assert_ok(dfl_run_new(plan, model, options, &run));
    return run;
}

void sample_all(const dfl_plan *plan, dfl_model *model, const char *options, void *out,
                size_t count) {
    dfl_run *run = run_of(plan, model, options);
    assert_ok(dfl_run_sample(run, 0, count, NULL, NULL, out));
    dfl_run_free(run);
}

const char hand_simple[] =
    "{\"format\":\"driftless-plan/1\",\"components\":1,"
    "\"inputs\":[{\"id\":0,\"t\":1,\"at\":[0.6,0.8],\"scale\":1}],"
    "\"outputs\":[3],\"kernels\":[],\"rows\":["
    "{\"op\":\"EVAL\",\"dst\":1,\"src\":0,\"t\":1,\"tau\":999,\"at\":[0.6,0.8],\"gives\":[0,1]},"
    "{\"op\":\"NOISE\",\"dst\":2,\"draw\":0},"
    "{\"op\":\"LIN\",\"dst\":3,\"src\":[0,1,2],\"c\":[1.5,-0.5,0.1]},"
    "{\"op\":\"STEP\",\"src\":3,\"t\":0.5,\"at\":[0.9,0.1],\"order\":2}],"
    "\"counts\":{\"rows\":4,\"values\":4,\"steps\":1,\"nfe\":1,\"draws\":1,\"picks\":0},"
    "\"meta\":{\"solver\":\"by hand\"}}";

const char hand_all_ops[] =
    "{\"format\":\"driftless-plan/1\",\"components\":1,"
    "\"inputs\":[{\"id\":0,\"t\":1,\"at\":[0.6,0.8],\"scale\":[[2]]}],\"outputs\":[9],"
    "\"kernels\":[{\"pi\":[0.5,0.5],\"offsets\":\"data\",\"data\":[0.1,0.2,-0.1,-0.2],\"s\":1,"
    "\"sigma\":0.5,\"covariance\":\"full\"},{\"pi\":[0.25,0.75],\"offsets\":\"ortho\",\"table\":5,"
    "\"s\":0.1,\"sigma\":0,\"covariance\":\"rank1\"}],\"rows\":["
    "{\"op\":\"NOISE\",\"dst\":1,\"draw\":4},"
    "{\"op\":\"MIX\",\"dst\":2,\"src\":1,\"draw\":0,\"kernel\":0},"
    "{\"op\":\"MIX\",\"dst\":3,\"draw\":1,\"kernel\":1},"
    "{\"op\":\"LIN\",\"dst\":4,\"src\":[0,2,3],\"c\":[1,[[2]],3]},"
    "{\"op\":\"CLIP\",\"dst\":5,\"src\":4,\"lo\":-1,\"hi\":1},"
    "{\"op\":\"LIMIT\",\"dst\":6,\"src\":4,\"quantile\":0.9,\"floor\":1},"
    "{\"op\":\"GIVEN\",\"dst\":7,\"name\":\"a \\\"name\\\" \\u00e9\"},"
    "{\"op\":\"GIVEN\",\"dst\":8,\"name\":\"mask\"},"
    "{\"op\":\"SELECT\",\"dst\":9,\"src\":[5,6,8]},"
    "{\"op\":\"CLIP\",\"dst\":10,\"src\":7,\"lo\":-1,\"hi\":1},"
    "{\"op\":\"STEP\",\"src\":10,\"t\":0,\"at\":[1,0]}]}";

/* Every element-wise row that needs no tensor, and long-lived values. */
const char hand_nonlinear[] = HEAD1
    "\"outputs\":[8],\"rows\":["
    "{\"op\":\"EVAL\",\"dst\":1,\"src\":0,\"t\":1,\"tau\":1,\"at\":[0.6,0.8],\"gives\":[0,1]},"
    "{\"op\":\"LIN\",\"dst\":2,\"src\":[0,1],\"c\":[1.6,-1.3]},"
    "{\"op\":\"CLIP\",\"dst\":3,\"src\":2,\"lo\":-0.7,\"hi\":0.9},"
    "{\"op\":\"LIMIT\",\"dst\":4,\"src\":2,\"quantile\":0.7,\"floor\":0.4},"
    "{\"op\":\"NOISE\",\"dst\":5,\"draw\":3},"
    "{\"op\":\"LIN\",\"dst\":6,\"src\":[3,4,5],\"c\":[1,0.5,0.1]},"
    "{\"op\":\"STEP\",\"src\":6,\"t\":0.7,\"at\":[0.9,0.1]},"
    "{\"op\":\"CLIP\",\"dst\":7,\"src\":1,\"lo\":0,\"hi\":1},"
    "{\"op\":\"SELECT\",\"dst\":8,\"src\":[6,0,7]},"
    "{\"op\":\"STEP\",\"src\":8,\"t\":0.5,\"at\":[0.9,0.1]}]}";

#define KERNEL                                                                                     \
    "\"kernels\":[{\"pi\":[0.2,0.5,0.3],\"offsets\":\"rand_c\",\"table\":4,\"s\":0.4,\"sigma\":"   \
    "0.7,\"covariance\":\"full\"}],"

const char hand_mix[] = HEAD1 KERNEL
    "\"outputs\":[4],\"rows\":["
    "{\"op\":\"EVAL\",\"dst\":1,\"src\":0,\"t\":1,\"tau\":1,\"at\":[0.6,0.8],\"gives\":[0,1]},"
    "{\"op\":\"NOISE\",\"dst\":2,\"draw\":0},"
    "{\"op\":\"MIX\",\"dst\":3,\"src\":2,\"draw\":0,\"kernel\":0},"
    "{\"op\":\"LIN\",\"dst\":4,\"src\":[0,1,3],\"c\":[1.2,-0.5,1]},"
    "{\"op\":\"STEP\",\"src\":4,\"t\":0.5,\"at\":[0.9,0.1]}]}";

/* Values of one and two components in turn, so that they share slots; blocks of every shape. */
const char hand_pair[] =
    HEAD2 "\"outputs\":[8],\"rows\":["
          "{\"op\":\"EVAL\",\"dst\":1,\"src\":0,\"t\":1,\"tau\":1," AT2 ",\"gives\":[0,[[0,1]]]},"
          "{\"op\":\"LIN\",\"dst\":2,\"src\":[0,1],\"c\":[[[0.9,0.2],[-0.1,0.8]],[[0.3],[-0.4]]]},"
          "{\"op\":\"NOISE\",\"dst\":3,\"draw\":0},"
          "{\"op\":\"LIN\",\"dst\":4,\"src\":[2,3],\"c\":[1,[[0.3,0],[0.1,0.2]]]},"
          "{\"op\":\"STEP\",\"src\":4,\"t\":0.7," AT2 "},"
          "{\"op\":\"EVAL\",\"dst\":5,\"src\":4,\"t\":0.7,\"tau\":0.7," AT2
          ",\"gives\":[[0.5,0],[[1,0],[0.5,1]]]},"
          "{\"op\":\"LIN\",\"dst\":6,\"src\":[4,5,1],\"c\":[[[0.7,0.1]],[[-0.2,0.1]],0.25]},"
          "{\"op\":\"LIN\",\"dst\":7,\"src\":[6],\"c\":[[[1],[0.5]]]},"
          "{\"op\":\"LIN\",\"dst\":8,\"src\":[7,4],\"c\":[0.5,[[0.1,0],[0,0.2]]]},"
          "{\"op\":\"STEP\",\"src\":8,\"t\":0,\"at\":[[1,0],[[0,0],[0,0]]]}]}";
