package main

import (
	"fmt"
	"testing"
)

func BenchmarkRequest(b *testing.B) {
	b.Run("flowhook", flowhookRequest)
	b.Run("pocketbase", pocketbaseRequest)
}

func BenchmarkRun(b *testing.B) {
	b.Run("flowhook", flowhookRun)
	b.Run("pocketbase", pocketbaseRequest)
}

func BenchmarkRead(b *testing.B) {
	b.Run("flowhook", flowhookRead)
	b.Run("gorilla", gorillaRead)
}

func BenchmarkIssue(b *testing.B) {
	b.Run("flowhook", flowhookIssue)
	b.Run("flowhook-reissue", flowhookReissue)
	b.Run("gorilla", gorillaIssue)
}

func BenchmarkPoints(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), flowhookPoints(n))
	}
}
