// Submits a run, follows it to its end and cancels it on Ctrl-C, using only the contracts in proto/.
//
//	go generate && go build -o train
//	./train --model_id PATH --dataset 'data/*.jsonl' --output_dir out 127.0.0.1:7070
package main

//go:generate buf generate ../../../proto

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	gradpool "gradpool.dev/gradpool/v1"
)

const (
	callTimeout = 10 * time.Second
	// CancelRun answers when the run has ended.
	cancelTimeout = 60 * time.Second
	pause         = time.Second
)

// again reports whether the coordinator is down or stopping, or the connection broke: the same request may be sent again.
func again(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
}

// retried repeats a write until it is answered: with the same request_id it has one effect, however often it arrives.
func retried[Request, Response any](
	call func(context.Context, Request, ...grpc.CallOption) (Response, error), request Request, timeout time.Duration,
) (Response, error) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		response, err := call(ctx, request)
		cancel()
		if err == nil || !again(err) {
			return response, err
		}
		time.Sleep(pause)
	}
}

func ended(run *gradpool.Run) bool {
	switch run.GetState() {
	case gradpool.RunState_RUN_STATE_COMPLETED, gradpool.RunState_RUN_STATE_FAILED, gradpool.RunState_RUN_STATE_CANCELLED:
		return true
	}
	return false
}

// follower remembers what it has seen of a run.
type follower struct {
	run  *gradpool.Run
	step uint32
}

// watch prints what happens to the run until the call ends, from the step after the last one seen.
func (seen *follower) watch(runs gradpool.RunServiceClient, runID string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := runs.WatchRun(ctx, &gradpool.WatchRunRequest{RunId: runID, AfterStep: seen.step})
	for err == nil {
		var update *gradpool.WatchRunResponse
		if update, err = stream.Recv(); err != nil {
			break
		}
		if run := update.GetRun(); run != nil {
			seen.run = run
			fmt.Println(run.State, run.PausedBecause+run.Preparing)
		} else if step := update.GetStep(); step != nil {
			seen.step = step.Step
			fmt.Printf("step %d/%d loss %.4f\n", step.Step, seen.run.GetTotalSteps(), step.Loss)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// follow returns the run as it ended; if the call breaks, it continues after the last step seen.
func follow(runs gradpool.RunServiceClient, runID string) (*gradpool.Run, error) {
	var seen follower
	for {
		if err := seen.watch(runs, runID); err != nil && !again(err) {
			return nil, err
		}
		if ended(seen.run) {
			return seen.run, nil
		}
		time.Sleep(pause)
	}
}

func train() error {
	modelID := flag.String("model_id", "", "folder, .gguf file, or name on the hub")
	var dataset []string
	flag.Func("dataset", "data source; may be repeated", func(source string) error {
		dataset = append(dataset, source)
		return nil
	})
	outputDir := flag.String("output_dir", "", "folder for the result")
	runName := flag.String("run_name", "", "what to call the run in lists and charts")
	recipeFile := flag.String("recipe", "../recipe.json", "gradpool.v1.Recipe as JSON")
	flag.Parse()
	address := flag.Arg(0)
	if address == "" {
		address = "127.0.0.1:7070"
	}

	text, err := os.ReadFile(*recipeFile)
	if err != nil {
		return err
	}
	spec := &gradpool.RunSpec{ModelId: *modelID, Dataset: dataset, OutputDir: *outputDir, RunName: *runName, Recipe: &gradpool.Recipe{}}
	if err := protojson.Unmarshal(text, spec.Recipe); err != nil {
		return fmt.Errorf("%s: %w", *recipeFile, err)
	}
	connection, err := dial(address)
	if err != nil {
		return err
	}
	defer connection.Close()
	runs := gradpool.NewRunServiceClient(connection)

	request := &gradpool.SubmitRunRequest{RequestId: uuid.NewString(), Spec: spec}
	submitted, err := retried(runs.SubmitRun, request, callTimeout)
	if err != nil {
		return err
	}
	runID := submitted.Run.RunId
	fmt.Println("run", runID)

	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		<-interrupts
		wish := &gradpool.CancelRunRequest{RequestId: uuid.NewString(), RunId: runID}
		if _, err := retried(runs.CancelRun, wish, cancelTimeout); err != nil {
			fmt.Fprintln(os.Stderr, describe(err))
		}
	}()

	run, err := follow(runs, runID)
	if err != nil {
		return err
	}
	if failure := run.Error; failure != nil {
		return fmt.Errorf("%s: %s", failure.Code, failure.Message)
	}
	if run.State != gradpool.RunState_RUN_STATE_COMPLETED {
		return errors.New(strings.ToLower(strings.TrimPrefix(run.State.String(), "RUN_STATE_")))
	}
	return nil
}

// describe is "CODE: message" of an error that the coordinator sent.
func describe(err error) string {
	if answer, ok := status.FromError(err); ok {
		return fmt.Sprintf("%s: %s", answer.Code(), answer.Message())
	}
	return err.Error()
}

func main() {
	if err := train(); err != nil {
		fmt.Fprintln(os.Stderr, describe(err))
		os.Exit(1)
	}
}
