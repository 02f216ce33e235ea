module github.com/flowhook/flowhook

go 1.25.0
